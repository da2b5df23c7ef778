// The sizes of one convolution in training: activations lie as [channel][depth][height][width][batch].
#pragma once

#include <array>
#include <cstdint>

namespace n2n::training {

using Axes = std::array<int64_t, 3>;  // depth, height, width; what is missing has size 1

// Crosses the C interface as it is: 64-bit integers only. Channels are counted over all groups. `pad` is what precedes
// the input; what follows it is whatever `output` reaches, read as zeros.
struct ConvShape {
  int64_t batch;
  int64_t groups;
  int64_t inputs;
  int64_t outputs;
  Axes input;
  Axes kernel;
  Axes stride;
  Axes pad;
  Axes dilation;
  Axes output;

  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  int64_t group_inputs() const { return inputs / groups; }
  int64_t group_outputs() const { return outputs / groups; }
  bool operator==(const ConvShape& other) const;
};
static_assert(sizeof(ConvShape) == 22 * sizeof(int64_t), "the caller lays it out as 22 integers");

inline int64_t volume(const Axes& axes) { return axes[0] * axes[1] * axes[2]; }

// Throws Error, naming the size that does not fit.
void validate(const ConvShape& shape);

}  // namespace n2n::training
