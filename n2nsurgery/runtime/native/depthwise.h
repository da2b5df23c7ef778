// Depthwise convolutions over images in the plain layout (N, C, H, W): every channel has a kernel of its own.
//
// The padded input of some channels is packed, so that every tap of every result is one constant offset. Whole vectors
// are then computed over row ends, and each row's results copied to their place. Weights that are zero are left out.
#pragma once

#include <cstdint>
#include <vector>

#include "geometry.h"
#include "kernels.h"
#include "plan.h"

namespace n2n {

// Throws Error where the lists contradict each other.
ConvAttributes parse_depthwise_attributes(const std::vector<int64_t>& kernel, const std::vector<int64_t>& strides,
                                          const std::vector<int64_t>& pads, const std::vector<int64_t>& dilations,
                                          int64_t channels);

// The weights (channel, tap), and those of them that are not zero, row by row.
struct TapList {
  std::vector<float> all;
  std::vector<int64_t> first;  // channels + 1: where each channel's taps begin
  std::vector<int32_t> position;
  std::vector<float> value;
};
TapList list_taps(const float* weights, int64_t channels, int64_t taps);

// A plan without weights: patches of whole rows as far as rows are not very wide. Throws Error where a kernel reaches too far.
Plan make_depthwise_plan(const ConvProblem& problem, const Kernels& kernels);

struct DepthwiseTensors {
  const float* x = nullptr;
  const TapList* taps = nullptr;
  const float* bias = nullptr;
  float* y = nullptr;
  Activation activation;
};

// Channels first to last - 1 of all images, counted through. Thread-safe.
void run_depthwise(const Plan& plan, const Kernels& kernels, const DepthwiseTensors& tensors, int64_t first,
                   int64_t last);

}  // namespace n2n
