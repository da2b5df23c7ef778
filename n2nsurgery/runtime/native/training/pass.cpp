#include "pass.h"

#include <algorithm>

namespace n2n::training {
namespace {

constexpr int32_t kOtherPhase = -1;

int64_t floor_mod(int64_t value, int64_t base) { return ((value % base) + base) % base; }

// The phase whose targets are first + stride * j. Tap k of an axis reads source (first + pad - k * dilation) / stride
// where that is whole; the others belong to other phases.
Pass gradient_pass(const Pattern& pattern, const ConvShape& shape, const Axes& first) {
  Pass pass;
  pass.groups = shape.groups;
  pass.sources = shape.group_outputs();
  pass.targets = shape.group_inputs();
  pass.source_size = shape.output;
  pass.target_size = shape.input;
  pass.first = first;
  pass.step = shape.stride;
  std::array<std::vector<int32_t>, 3> renumbered;
  for (size_t axis = 0; axis < 3; ++axis) {
    pass.grid[axis] = (shape.input[axis] - first[axis] + shape.stride[axis] - 1) / shape.stride[axis];
    for (int64_t k = 0; k < shape.kernel[axis]; ++k) {
      const int64_t from = first[axis] + shape.pad[axis] - k * shape.dilation[axis];
      const bool here = floor_mod(from, shape.stride[axis]) == 0;
      renumbered[axis].push_back(here ? static_cast<int32_t>(pass.offset[axis].size()) : kOtherPhase);
      if (here) pass.offset[axis].push_back(from / shape.stride[axis]);
    }
  }
  const auto tap_here = [&](int32_t tap) {
    const auto width = static_cast<int32_t>(shape.kernel[2]);
    const auto height = static_cast<int32_t>(shape.kernel[1]);
    const int32_t d = renumbered[0][static_cast<size_t>(tap / (width * height))];
    const int32_t h = renumbered[1][static_cast<size_t>(tap / width % height)];
    const int32_t w = renumbered[2][static_cast<size_t>(tap % width)];
    if (d == kOtherPhase || h == kOtherPhase || w == kOtherPhase) return kOtherPhase;
    return static_cast<int32_t>((d * static_cast<int64_t>(pass.offset[1].size()) + h) *
                                    static_cast<int64_t>(pass.offset[2].size()) + w);
  };
  pass.rows.start.push_back(0);
  for (int64_t channel = 0; channel < shape.inputs; ++channel) {
    for (int32_t k = pattern.by_input.start[channel]; k < pattern.by_input.start[channel + 1]; ++k) {
      Entry entry = pattern.by_input.entries[k];
      entry.tap = tap_here(entry.tap);
      if (entry.tap != kOtherPhase) pass.rows.entries.push_back(entry);
    }
    pass.rows.start.push_back(static_cast<int32_t>(pass.rows.entries.size()));
  }
  return pass;
}

bool is_one_zero(const std::vector<int64_t>& offsets) { return offsets.size() == 1 && offsets[0] == 0; }

}  // namespace

bool is_pointwise(const Pass& pass) {
  constexpr Axes kOnes{1, 1, 1};
  return std::all_of(pass.offset.begin(), pass.offset.end(), is_one_zero) && pass.source_step == kOnes &&
         pass.step == kOnes && pass.source_size == pass.grid && pass.target_size == pass.grid;
}

Pass forward_pass(const Pattern& pattern, const ConvShape& shape) {
  Pass pass;
  pass.groups = shape.groups;
  pass.sources = shape.group_inputs();
  pass.targets = shape.group_outputs();
  pass.source_size = shape.input;
  pass.target_size = shape.output;
  pass.grid = shape.output;
  pass.source_step = shape.stride;
  for (size_t axis = 0; axis < 3; ++axis) {
    for (int64_t k = 0; k < shape.kernel[axis]; ++k) {
      pass.offset[axis].push_back(k * shape.dilation[axis] - shape.pad[axis]);
    }
  }
  pass.rows = pattern.by_output;
  return pass;
}

std::vector<Pass> gradient_passes(const Pattern& pattern, const ConvShape& shape) {
  std::vector<Pass> passes;
  Axes phases;
  for (size_t axis = 0; axis < 3; ++axis) phases[axis] = std::min(shape.stride[axis], shape.input[axis]);
  for (int64_t d = 0; d < phases[0]; ++d) {
    for (int64_t h = 0; h < phases[1]; ++h) {
      for (int64_t w = 0; w < phases[2]; ++w) passes.push_back(gradient_pass(pattern, shape, {d, h, w}));
    }
  }
  return passes;
}

}  // namespace n2n::training
