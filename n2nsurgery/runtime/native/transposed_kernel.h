// SparseConvTranspose and its variants: one node of a model.
#pragma once

#include <memory>
#include <vector>

#include "kernels.h"
#include "ort_call.h"
#include "packed_weights.h"
#include "plan_cache.h"
#include "sparse_input.h"
#include "task_loop.h"
#include "transposed.h"

namespace n2n {

class TransposedKernel {
 public:
  // Makes the plan for the input's expected size, where the model tells it.
  TransposedKernel(const ort::KernelSetup& setup, const OpVariant& variant);

  // Safe to call from several threads at once.
  void compute(const ort::Invocation& invocation);

 private:
  std::shared_ptr<const Plan> plan_for(const ConvProblem& problem, int64_t threads);

  TransposedAttributes attributes_;
  Activation activation_;
  SparseWeights weights_;  // of the convolution of all phases
  std::vector<float> bias_;
  BlockMap blocks_;
  const Kernels& kernels_;
  PlanCache plans_;
  ThreadCount threads_;
};

}  // namespace n2n
