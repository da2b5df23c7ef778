// SparseConv and its variants: one node of a model.
#pragma once

#include <atomic>
#include <memory>

#include "executor.h"
#include "geometry.h"
#include "kernels.h"
#include "ort_call.h"
#include "packed_weights.h"
#include "plan_cache.h"
#include "row_product.h"
#include "sparse_input.h"
#include "task_loop.h"

namespace n2n {

class ConvKernel {
 public:
  // Makes the plan for the input's expected size, where the model tells it.
  ConvKernel(const ort::KernelSetup& setup, const OpVariant& variant);

  // Safe to call from several threads at once.
  void compute(const ort::Invocation& invocation);

 private:
  std::shared_ptr<const Plan> plan_for(const ConvProblem& problem, int64_t threads);
  void compute_rows(const ort::Invocation& invocation, const ConvTensors& tensors, int64_t rows);

  OpVariant variant_;
  ConvAttributes attributes_;
  SparseInput input_;
  BlockMap blocks_;
  const Kernels& kernels_;
  ShortInputs short_inputs_;  // where images of one pixel are expected
  PlanCache plans_;
  ThreadCount threads_;
  std::atomic<const float*> result_{nullptr};  // where the last one went
};

}  // namespace n2n
