#include "depthwise.h"

#include <algorithm>
#include <string>

#include "error.h"
#include "rounding.h"
#include "tiles.h"

namespace n2n {
namespace {

constexpr int64_t kMaxTaps = int64_t{1} << 12;
constexpr int64_t kPackedFloats = 4096;  // of the channels that are packed at once: half of a first-level cache
constexpr int64_t kWideRow = 512;        // results; longer rows are cut
constexpr int64_t kMostRows = 256;
constexpr int64_t kMostChannels = 32;

// Memory for one patch of one channel before its rows are copied.
int64_t staged_floats(const Plan& plan, const Kernels& kernels) {
  return round_up(plan.tiling.rows * plan.layout.pitch, kernels.lanes) + kernels.lanes;
}

// One patch of neighbouring channels, whose packed input begins at `tile`.
void compute_patch(const Plan& plan, const Kernels& kernels, const DepthwiseTensors& tensors, const Axes& patch,
                   const float* tile, int64_t first, int64_t last) {
  const ConvProblem& problem = plan.problem;
  const int64_t row = patch[1] * plan.tiling.rows;
  const int64_t column = patch[2] * plan.tiling.columns;
  DepthwiseJob job{};
  job.offset = plan.layout.tap_offset.data();
  job.pitch = plan.layout.pitch;
  job.rows = std::min(plan.tiling.rows, problem.output[1] - row);
  job.columns = std::min(plan.tiling.columns, problem.output[2] - column);
  job.row_stride = problem.output[2];
  job.kernel_height = problem.kernel[1];
  job.kernel_width = problem.kernel[2];
  const bool rows_follow = problem.stride[1] == 1 && problem.dilation[1] == 1;
  const int64_t taps = job.kernel_height * job.kernel_width;
  job.staged = scratch().staged.floats(staged_floats(plan, kernels));
  job.activation = tensors.activation;
  for (int64_t at = first; at < last; ++at) {
    const auto channel = static_cast<size_t>(at % problem.groups);
    const int64_t begin = tensors.taps->first[channel];
    job.packed = tile + (at - first) * plan.layout.packed_size;
    job.position = tensors.taps->position.data() + begin;
    job.value = tensors.taps->value.data() + begin;
    job.taps = tensors.taps->first[channel + 1] - begin;
    job.dense = rows_follow && job.taps == taps ? tensors.taps->all.data() + channel * taps : nullptr;
    job.bias = tensors.bias[channel];
    job.y = tensors.y + at * problem.output_pixels() + row * problem.output[2] + column;
    kernels.depthwise(job);
  }
}

// A channel without taps: nothing of its input is read.
void fill_channel(const Plan& plan, const Kernels& kernels, const DepthwiseTensors& tensors, int64_t at) {
  const int64_t pixels = plan.problem.output_pixels();
  float value = tensors.bias[at % plan.problem.groups];
  kernels.activate(tensors.activation, &value, 1);
  std::fill_n(tensors.y + at * pixels, pixels, value);
}

}  // namespace

ConvAttributes parse_depthwise_attributes(const std::vector<int64_t>& kernel, const std::vector<int64_t>& strides,
                                          const std::vector<int64_t>& pads, const std::vector<int64_t>& dilations,
                                          int64_t channels) {
  require(kernel.size() == 2, "kernel_shape must have 2 elements, height and width");
  const ConvAttributes attributes =
      parse_conv_attributes({channels, 1, kernel[0], kernel[1]}, strides, pads, dilations, channels);
  require(attributes.weight_shape().taps <= kMaxTaps,
          "kernel_shape has more than " + std::to_string(kMaxTaps) + " positions");
  return attributes;
}

TapList list_taps(const float* weights, int64_t channels, int64_t taps) {
  TapList list;
  list.all.assign(weights, weights + channels * taps);
  list.first.push_back(0);
  for (int64_t channel = 0; channel < channels; ++channel) {
    for (int64_t tap = 0; tap < taps; ++tap, ++weights) {
      if (*weights == 0.0F) continue;
      list.position.push_back(static_cast<int32_t>(tap));
      list.value.push_back(*weights);
    }
    list.first.push_back(static_cast<int64_t>(list.value.size()));
  }
  return list;
}

Plan make_depthwise_plan(const ConvProblem& problem, const Kernels& kernels) {
  Plan plan;
  plan.problem = problem;
  Tiling& tiling = plan.tiling;
  tiling.columns = std::min(problem.output[2], kWideRow);
  tiling.aligned = tiling.columns != problem.output[2];
  for (tiling.rows = std::min(problem.output[1], kMostRows);; tiling.rows = ceil_div(tiling.rows, 2)) {
    plan.layout = make_layout(problem, tiling, kernels.lanes);
    if (plan.layout.packed_size <= kPackedFloats || tiling.rows == 1) break;
  }
  require(plan.layout.pitch <= int64_t{kMaxRowVectors} * kernels.lanes, "the kernel is too wide");
  tiling.channels = std::clamp<int64_t>(kPackedFloats / plan.layout.packed_size, 1, kMostChannels);
  plan.patch_rows = ceil_div(problem.output[1], tiling.rows);
  plan.patch_columns = ceil_div(problem.output[2], tiling.columns);
  plan.packed_floats = plan.layout.lead + tiling.channels * plan.layout.packed_size +
                       int64_t{kMaxRegisters + 1} * kernels.lanes;
  return plan;
}

void run_depthwise(const Plan& plan, const Kernels& kernels, const DepthwiseTensors& tensors, int64_t first,
                   int64_t last) {
  float* tile = packed_tile(plan);
  const auto empty = [&](int64_t at) {
    const auto channel = static_cast<size_t>(at % plan.problem.groups);
    return tensors.taps->first[channel] == tensors.taps->first[channel + 1];
  };
  for (int64_t block = first; block < last;) {
    if (empty(block)) {
      fill_channel(plan, kernels, tensors, block++);
      continue;
    }
    int64_t end = block + 1;
    while (end < std::min(last, block + plan.tiling.channels) && !empty(end)) ++end;
    const float* image = tensors.x + block * plan.problem.input_pixels();
    for (int64_t row = 0; row < plan.patch_rows; ++row) {
      for (int64_t column = 0; column < plan.patch_columns; ++column) {
        pack_patch(plan, kernels, {0, row, column}, image, tile, 0, end - block);
        compute_patch(plan, kernels, tensors, {0, row, column}, tile, block, end);
      }
    }
    block = end;
  }
}

}  // namespace n2n
