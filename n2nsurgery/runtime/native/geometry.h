// Shapes of a convolution: what the node says (ConvAttributes), and what one input makes of it (ConvProblem).
//
// Everything is written with three spatial axes (depth, height, width); missing leading axes have extent 1.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "weights.h"

namespace n2n {

using Axes = std::array<int64_t, 3>;

struct ConvAttributes {
  int spatial_rank = 2;  // 1, 2 or 3
  int64_t groups = 1;
  int64_t outputs = 0;       // all groups together
  int64_t group_inputs = 0;  // input channels of one group
  Axes kernel{1, 1, 1};
  Axes stride{1, 1, 1};
  Axes dilation{1, 1, 1};
  Axes pad_begin{0, 0, 0};
  Axes pad_end{0, 0, 0};

  WeightShape weight_shape() const { return {outputs, group_inputs, kernel[0] * kernel[1] * kernel[2]}; }
};

// From the ONNX attributes; an empty list stands for ONNX's default. Throws Error if they contradict each other.
ConvAttributes parse_conv_attributes(const std::vector<int64_t>& weight_shape, const std::vector<int64_t>& strides,
                                     const std::vector<int64_t>& pads, const std::vector<int64_t>& dilations,
                                     int64_t group);

// A convolution of one input size, reduced as far as its taps allow: a pointwise one is a single row of pixels.
struct ConvProblem {
  int64_t batch = 0;
  int64_t groups = 1;
  int64_t group_inputs = 0;
  int64_t group_outputs = 0;
  int64_t together = 1;  // neighbouring outputs that one task computes
  Axes input{1, 1, 1};
  Axes output{1, 1, 1};
  Axes kernel{1, 1, 1};
  Axes stride{1, 1, 1};
  Axes dilation{1, 1, 1};
  Axes pad{0, 0, 0};

  int64_t input_pixels() const { return input[0] * input[1] * input[2]; }
  int64_t output_pixels() const { return output[0] * output[1] * output[2]; }
  bool pointwise() const {
    return kernel == Axes{1, 1, 1} && stride == Axes{1, 1, 1} && pad == Axes{0, 0, 0} && input == output;
  }
};

// Merges axes along which pixels do not depend on each other's neighbours.
void reduce(ConvProblem& problem);

// Throws Error if the input does not fit the attributes or the output would be empty.
ConvProblem make_problem(const ConvAttributes& attributes, const std::vector<int64_t>& input_shape);

// The ONNX shape of the output, with the input's rank.
std::vector<int64_t> output_shape(const ConvAttributes& attributes, const std::vector<int64_t>& input_shape);

}  // namespace n2n
