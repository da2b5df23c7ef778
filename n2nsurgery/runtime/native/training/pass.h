// A pass is target[d] = sum of value * source[s] over a regular grid of target places: a convolution's forward pass,
// or one phase of its input gradient, which is a convolution of stride 1 for each residue of the stride.
#pragma once

#include <vector>

#include "pattern.h"

namespace n2n::training {

struct Pass {
  int64_t groups = 1;
  int64_t sources = 0;  // channels of one group
  int64_t targets = 0;
  Axes source_size{};
  Axes target_size{};
  Axes grid{};         // target places of this pass: place first + step * j for j < grid
  Axes first{};
  Axes step{1, 1, 1};
  Axes source_step{1, 1, 1};           // place j reads at j * source_step + offset of the tap
  std::array<std::vector<int64_t>, 3> offset;  // by tap, along each axis
  Rows rows;                           // taps are numbered within `offset`
};

// Whether each target place reads one source place alone, the same one, and all are there.
bool is_pointwise(const Pass& pass);

Pass forward_pass(const Pattern& pattern, const ConvShape& shape);

// The passes that together write every element of the input gradient; those without taps write zeros.
std::vector<Pass> gradient_passes(const Pattern& pattern, const ConvShape& shape);

}  // namespace n2n::training
