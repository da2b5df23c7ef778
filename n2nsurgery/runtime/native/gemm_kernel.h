// SparseGemm and its variants, Y = X W^T + b over the last axis of X: one node of a model.
#pragma once

#include <memory>

#include "kernels.h"
#include "ort_call.h"
#include "packed_weights.h"
#include "plan_cache.h"
#include "row_product.h"
#include "sparse_input.h"
#include "task_loop.h"

namespace n2n {

class GemmKernel {
 public:
  // Makes the plan for the input's expected size, where the model tells it.
  GemmKernel(const ort::KernelSetup& setup, const OpVariant& variant);

  // Safe to call from several threads at once.
  void compute(const ort::Invocation& invocation);

 private:
  std::shared_ptr<const Plan> whole_plan(const ConvProblem& problem);

  OpVariant variant_;
  SparseInput input_;
  BlockMap blocks_;
  const Kernels& kernels_;
  ShortInputs short_inputs_;
  PlanCache plans_;
  ThreadCount threads_;
};

}  // namespace n2n
