// Runs a linear layer's plan: the rows of x, cut into pieces that a plan for any number of rows computes.
#pragma once

#include <cstdint>

#include "kernels.h"
#include "plan.h"
#include "rounding.h"
#include "tiles.h"

namespace n2n {

struct GemmTensors {
  const float* x = nullptr;  // rows x inputs
  const float* bias = nullptr;
  const float* residual = nullptr;  // rows x outputs, or null
  float* y = nullptr;               // rows x outputs
  float* packed = nullptr;          // see shared_input; a piece is a patch
  int64_t rows = 0;
  int64_t piece_rows = 0;  // rows of a piece, at most those of the plan's patch
  Activation activation;

  int64_t pieces() const { return ceil_div(rows, piece_rows); }
};

// A plan for pieces of up to `vectors` vectors of rows, however many rows there are, cut into `chunks` of outputs.
Plan make_gemm_plan(const SparseWeights& weights, const BlockMap& blocks, const Kernels& kernels, int64_t vectors,
                    int64_t chunks);

// Task `number` of pieces * (plan.pack_parts + chunks); as run_conv_task. Such a plan's tasks() say nothing.
void run_gemm_task(const Plan& plan, const Kernels& kernels, const GemmTensors& tensors, int64_t number);

// Rows of x as pixels of a pointwise convolution.
ConvProblem gemm_problem(const WeightShape& shape, int64_t rows);

}  // namespace n2n
