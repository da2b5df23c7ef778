// The results of a transposed convolution's phases, which lie apart, in their places beside each other.
#pragma once

#include <cstdint>

#include "geometry.h"
#include "kernels.h"

namespace n2n {

struct Shuffle {
  Axes stride{1, 1, 1};
  Axes places{1, 1, 1};  // of one phase
  Axes output{1, 1, 1};  // of all

  int64_t phases() const { return stride[0] * stride[1] * stride[2]; }
  int64_t output_pixels() const { return output[0] * output[1] * output[2]; }
};

// Results of one patch: rows of neighbouring places, counted through all axes.
struct Staged {
  float* results;          // of output 0, phase 0
  int64_t channel_stride;  // floats between phases
  int64_t row_stride;      // floats, and places, between rows
  int64_t rows;
  int64_t columns;
  int64_t first;           // place of the first result
};

// Puts outputs [low, high), counted over (output, phase) in whole steps of stride[2], into an image's y.
void shuffle(const Shuffle& shape, const Kernels& kernels, const Staged& staged, int64_t low, int64_t high, float* y);

}  // namespace n2n
