// Transposed convolutions as ordinary ones: every output column, row and slice belongs to a phase of the stride, and the
// results of one phase are an ordinary convolution of the input with stride 1 and some of the kernel's taps.
//
//   out[s q + p] = sum of w[k] in[q + (p + pad - k dilation) / s]  over the k for which s divides p + pad - k dilation
//
// All phases together are one convolution with as many outputs more; where kernel and stride are equal, a pointwise one.
#pragma once

#include <cstdint>
#include <vector>

#include "geometry.h"
#include "shuffle.h"
#include "weights.h"

namespace n2n {

struct TransposedAttributes {
  ConvAttributes conv;  // as if it were the other way round: its outputs are X's channels, its inputs a group's outputs
  Axes output_padding{0, 0, 0};

  // Derived: kernel position k of an axis reads input q + step, for low <= step < low + extent.
  Axes low{0, 0, 0};
  Axes extent{1, 1, 1};

  int64_t phases() const { return conv.stride[0] * conv.stride[1] * conv.stride[2]; }
  int64_t outputs() const { return conv.group_inputs * conv.groups; }
};

// From the ONNX attributes, `weight_shape` being (inputs, outputs / group, *kernel); an empty list stands for ONNX's
// default. Throws Error if they contradict each other, or if the kernel reaches too far.
TransposedAttributes parse_transposed_attributes(const std::vector<int64_t>& weight_shape,
                                                 const std::vector<int64_t>& strides, const std::vector<int64_t>& pads,
                                                 const std::vector<int64_t>& output_padding,
                                                 const std::vector<int64_t>& dilations, int64_t group);

// The ONNX shape of the output. Throws Error if the input does not fit, or the output would be empty.
std::vector<int64_t> output_shape(const TransposedAttributes& attributes, const std::vector<int64_t>& input_shape);

// The convolution of all phases; its output (group, output, phase) is counted in this order.
ConvProblem make_problem(const TransposedAttributes& attributes, const std::vector<int64_t>& input_shape);

// That convolution's weights, from those of the node.
SparseWeights weights_of_phases(const SparseWeights& weights, const TransposedAttributes& attributes);

// Each output's value, repeated for its phases.
std::vector<float> bias_of_phases(const std::vector<float>& bias, const TransposedAttributes& attributes);

// Where the results of that convolution belong in the output.
Shuffle make_shuffle(const TransposedAttributes& attributes, const std::vector<int64_t>& input_shape);

}  // namespace n2n
