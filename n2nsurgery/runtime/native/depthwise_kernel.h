// PlainDepthwiseConv: a depthwise convolution with ordinary weights in the plain layout; one node of a model.
#pragma once

#include <optional>
#include <vector>

#include "depthwise.h"
#include "ort_call.h"
#include "plan_cache.h"
#include "task_loop.h"

namespace n2n {

class DepthwiseKernel {
 public:
  DepthwiseKernel(const ort::KernelSetup& setup, Curve curve);

  // Safe to call from several threads at once.
  void compute(const ort::Invocation& invocation);

 private:
  TapList taps_of(const ort::TensorView& weights) const;
  std::shared_ptr<const Plan> plan_for(const ConvProblem& problem);

  ConvAttributes attributes_;
  Activation activation_;
  const Kernels& kernels_;
  std::optional<TapList> taps_;  // where the weights are constant
  PlanCache plans_;
  ThreadCount threads_;
};

}  // namespace n2n
