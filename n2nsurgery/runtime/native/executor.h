// Runs a plan: a list of independent tasks, each a patch of one image, group and chunk of output channels.
#pragma once

#include <cstdint>

#include "kernels.h"
#include "plan.h"

namespace n2n {

struct ConvTensors {
  const float* x = nullptr;
  const float* bias = nullptr;
  const float* residual = nullptr;  // or null
  float* y = nullptr;
  bool relu = false;
};

// Makes the calling thread's scratch memory present, which tasks of this plan would do otherwise.
void prepare_scratch(const Plan& plan);

// Thread-safe: scratch memory belongs to the calling thread.
void run_conv_task(const Plan& plan, const Kernels& kernels, const ConvTensors& tensors, int64_t number);

struct GemmTensors {
  const float* x = nullptr;  // rows x inputs
  const float* bias = nullptr;
  const float* residual = nullptr;  // rows x outputs, or null
  float* y = nullptr;               // rows x outputs
  bool relu = false;
};

// A plan made for one pixel per row of x (see gemm_problem).
void run_gemm_task(const Plan& plan, const Kernels& kernels, const GemmTensors& tensors, int64_t number);

// Rows of x as pixels of a pointwise convolution.
ConvProblem gemm_problem(const WeightShape& shape, int64_t rows);

}  // namespace n2n
