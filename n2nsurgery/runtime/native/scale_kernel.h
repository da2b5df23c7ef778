// PlainBatchNormalization and PlainGate: a factor and a summand for every channel of images in the plain layout
// (N, C, ...); one node of a model.
#pragma once

#include <optional>
#include <vector>

#include "kernels.h"
#include "ort_call.h"
#include "sparse_input.h"
#include "task_loop.h"

namespace n2n {

// y = factor * x + summand, channel by channel.
struct ChannelLine {
  std::vector<float> factor;
  std::vector<float> summand;
};

// One X or several, which lie one after the other along the channels; scale, B, mean, var: one number for each channel.
class NormalizationKernel {
 public:
  NormalizationKernel(const ort::KernelSetup& setup, Curve curve, size_t parts);

  // Safe to call from several threads at once.
  void compute(const ort::Invocation& invocation);

 private:
  size_t parts_;  // X
  Activation activation_;
  float epsilon_;
  const Kernels& kernels_;
  std::optional<ChannelLine> line_;  // where it is constant
  ThreadCount threads_;
};

// X (N, C, ...) and a gate (N, C, 1, ...), multiplied.
class GateKernel {
 public:
  explicit GateKernel(const ort::KernelSetup& setup);

  // Safe to call from several threads at once.
  void compute(const ort::Invocation& invocation);

 private:
  const Kernels& kernels_;
  ThreadCount threads_;
};

}  // namespace n2n
