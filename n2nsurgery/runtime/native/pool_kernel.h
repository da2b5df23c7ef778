// PlainMaxPool: maximum over windows of an image in the plain layout (N, C, H, W); one node of a model.
#pragma once

#include <cstdint>
#include <vector>

#include "geometry.h"
#include "kernels.h"
#include "ort_call.h"
#include "task_loop.h"

namespace n2n {

// A window over one channel, as a convolution of one channel that nothing multiplies. Throws Error where the lists
// contradict each other, and for a window that may lie in the padding alone.
ConvAttributes parse_pool_attributes(const std::vector<int64_t>& kernel, const std::vector<int64_t>& strides,
                                     const std::vector<int64_t>& pads);

// Channels first to last - 1 of all images, counted through, of x into y. Thread-safe.
void run_pool(const ConvProblem& problem, const Kernels& kernels, const float* x, float* y, int64_t first,
              int64_t last);

class PoolKernel {
 public:
  explicit PoolKernel(const ort::KernelSetup& setup);

  // Safe to call from several threads at once.
  void compute(const ort::Invocation& invocation);

 private:
  ConvAttributes attributes_;
  const Kernels& kernels_;
  ThreadCount threads_;
};

}  // namespace n2n
