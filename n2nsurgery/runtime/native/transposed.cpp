#include "transposed.h"

#include <algorithm>
#include <string>

#include "error.h"
#include "rounding.h"

namespace n2n {
namespace {

constexpr int64_t kMaxExtent = int64_t{1} << 30;
constexpr int64_t kMaxPhases = int64_t{1} << 12;
constexpr int64_t kMaxReach = int64_t{1} << 12;  // positions of the input, of all axes together

// Where kernel position k of an axis goes: to the outputs of that phase, from input (place of the output) + step.
struct Landing {
  int64_t phase, step;
};

Landing landing(const ConvAttributes& conv, size_t axis, int64_t k) {
  const int64_t back = k * conv.dilation[axis] - conv.pad_begin[axis];
  const int64_t step = -floor_div(back, conv.stride[axis]);
  return {back + step * conv.stride[axis], step};
}

Axes taken_apart(int64_t tap, const Axes& extents) {
  return {tap / (extents[1] * extents[2]), tap / extents[2] % extents[1], tap % extents[2]};
}

int64_t put_together(const Axes& at, const Axes& extents) {
  return (at[0] * extents[1] + at[1]) * extents[2] + at[2];
}

// Which phase, and which tap of that phase's convolution, each kernel position is.
struct TapPlan {
  std::vector<int64_t> phase, tap;
};

TapPlan plan_taps(const TransposedAttributes& attributes) {
  const ConvAttributes& conv = attributes.conv;
  TapPlan plan;
  for (int64_t k = 0; k < conv.weight_shape().taps; ++k) {
    const Axes at = taken_apart(k, conv.kernel);
    Axes phase{};
    Axes step{};
    for (size_t axis = 0; axis < 3; ++axis) {
      const Landing place = landing(conv, axis, at[axis]);
      phase[axis] = place.phase;
      step[axis] = place.step - attributes.low[axis];
    }
    plan.phase.push_back(put_together(phase, conv.stride));
    plan.tap.push_back(put_together(step, attributes.extent));
  }
  return plan;
}

Axes input_extents(const TransposedAttributes& attributes, const std::vector<int64_t>& shape) {
  const ConvAttributes& conv = attributes.conv;
  const auto rank = static_cast<size_t>(conv.spatial_rank);
  require(shape.size() == rank + 2, "X has " + std::to_string(shape.size()) + " dimensions, not " +
                                        std::to_string(rank + 2));
  require(shape[0] >= 0 && shape[1] == conv.outputs,
          "X has " + std::to_string(shape[1]) + " channels, the weight takes " + std::to_string(conv.outputs));
  Axes input{1, 1, 1};
  for (size_t i = 0; i < rank; ++i) {
    require(shape[2 + i] >= 1 && shape[2 + i] <= kMaxExtent,
            "X has a spatial axis of " + std::to_string(shape[2 + i]));
    input[3 - rank + i] = shape[2 + i];
  }
  return input;
}

Axes output_extents(const TransposedAttributes& attributes, const Axes& input) {
  const ConvAttributes& conv = attributes.conv;
  Axes output{1, 1, 1};
  for (size_t axis = 0; axis < 3; ++axis) {
    output[axis] = (input[axis] - 1) * conv.stride[axis] + (conv.kernel[axis] - 1) * conv.dilation[axis] + 1 +
                   attributes.output_padding[axis] - conv.pad_begin[axis] - conv.pad_end[axis];
    require(output[axis] >= 1, "the input's spatial extent " + std::to_string(input[axis]) +
                                   " leaves no output between the pads");
  }
  return output;
}

Axes places_of(const TransposedAttributes& attributes, const Axes& output) {
  Axes places{1, 1, 1};
  for (size_t axis = 0; axis < 3; ++axis) {
    places[axis] = ceil_div(output[axis], attributes.conv.stride[axis]);
  }
  return places;
}

}  // namespace

TransposedAttributes parse_transposed_attributes(const std::vector<int64_t>& weight_shape,
                                                 const std::vector<int64_t>& strides, const std::vector<int64_t>& pads,
                                                 const std::vector<int64_t>& output_padding,
                                                 const std::vector<int64_t>& dilations, int64_t group) {
  TransposedAttributes attributes;
  attributes.conv = parse_conv_attributes(weight_shape, strides, pads, dilations, group);
  const ConvAttributes& conv = attributes.conv;
  const auto rank = static_cast<size_t>(conv.spatial_rank);
  require(output_padding.empty() || output_padding.size() == rank,
          "output_padding has " + std::to_string(output_padding.size()) + " elements, not one per spatial axis");
  int64_t taps = 1;
  int64_t phases = 1;
  for (size_t axis = 0; axis < 3; ++axis) {
    if (!output_padding.empty() && axis + rank >= 3) {
      const int64_t more = output_padding[axis + rank - 3];
      require(more >= 0 && more < std::max(conv.stride[axis], conv.dilation[axis]),
              "output_padding has the element " + std::to_string(more) + ", allowed are 0 to less than the stride or dilation");
      attributes.output_padding[axis] = more;
    }
    attributes.low[axis] = landing(conv, axis, conv.kernel[axis] - 1).step;
    attributes.extent[axis] = landing(conv, axis, 0).step - attributes.low[axis] + 1;
    require(attributes.extent[axis] <= kMaxReach / taps, "the kernel reaches over more than " +
                                                             std::to_string(kMaxReach) + " positions of the input");
    taps *= attributes.extent[axis];
    require(conv.stride[axis] <= kMaxPhases / phases, "the product of strides is above " + std::to_string(kMaxPhases));
    phases *= conv.stride[axis];
  }
  require(attributes.outputs() <= kMaxExtent / phases, "weight_shape and strides describe too many outputs");
  validate({attributes.outputs() * phases, conv.outputs / conv.groups, taps});
  return attributes;
}

std::vector<int64_t> output_shape(const TransposedAttributes& attributes, const std::vector<int64_t>& input_shape) {
  const Axes output = output_extents(attributes, input_extents(attributes, input_shape));
  const auto rank = static_cast<std::ptrdiff_t>(attributes.conv.spatial_rank);
  std::vector<int64_t> shape{input_shape[0], attributes.outputs()};
  shape.insert(shape.end(), output.end() - rank, output.end());
  return shape;
}

ConvProblem make_problem(const TransposedAttributes& attributes, const std::vector<int64_t>& input_shape) {
  const ConvAttributes& conv = attributes.conv;
  ConvProblem problem;
  problem.input = input_extents(attributes, input_shape);
  problem.output = places_of(attributes, output_extents(attributes, problem.input));
  problem.batch = input_shape[0];
  problem.groups = conv.groups;
  problem.group_inputs = conv.outputs / conv.groups;
  problem.group_outputs = conv.group_inputs * attributes.phases();
  problem.together = conv.stride[2];
  problem.kernel = attributes.extent;
  for (size_t axis = 0; axis < 3; ++axis) problem.pad[axis] = -attributes.low[axis];
  reduce(problem);
  return problem;
}

SparseWeights weights_of_phases(const SparseWeights& weights, const TransposedAttributes& attributes) {
  const ConvAttributes& conv = attributes.conv;
  const TapPlan plan = plan_taps(attributes);
  const int64_t phases = attributes.phases();
  const int64_t group_inputs = conv.outputs / conv.groups;
  const auto row_of = [&](int64_t input, int64_t entry) {
    const auto at = static_cast<size_t>(entry);
    const int64_t output = input / group_inputs * conv.group_inputs + weights.channel[at];
    return output * phases + plan.phase[static_cast<size_t>(weights.tap[at])];
  };
  const auto for_entries = [&](const auto& body) {
    for (int64_t input = 0; input < conv.outputs; ++input) {
      const auto at = static_cast<size_t>(input);
      for (int64_t entry = weights.row[at]; entry < weights.row[at + 1]; ++entry) body(input, entry);
    }
  };
  SparseWeights turned;
  turned.shape = {attributes.outputs() * phases, group_inputs,
                  attributes.extent[0] * attributes.extent[1] * attributes.extent[2]};
  turned.row.assign(static_cast<size_t>(turned.shape.outputs) + 1, 0);
  for_entries([&](int64_t input, int64_t entry) { ++turned.row[static_cast<size_t>(row_of(input, entry)) + 1]; });
  for (size_t i = 1; i < turned.row.size(); ++i) turned.row[i] += turned.row[i - 1];
  std::vector<int64_t> next(turned.row.begin(), turned.row.end() - 1);
  turned.channel.resize(weights.channel.size());
  turned.tap.resize(weights.tap.size());
  turned.value.resize(weights.value.size());
  for_entries([&](int64_t input, int64_t entry) {  // inputs ascend, as a row's channels have to
    const auto from = static_cast<size_t>(entry);
    const auto to = static_cast<size_t>(next[static_cast<size_t>(row_of(input, entry))]++);
    turned.channel[to] = static_cast<int32_t>(input % group_inputs);
    turned.tap[to] = static_cast<int32_t>(plan.tap[static_cast<size_t>(weights.tap[from])]);
    turned.value[to] = weights.value[from];
  });
  return turned;
}

std::vector<float> bias_of_phases(const std::vector<float>& bias, const TransposedAttributes& attributes) {
  std::vector<float> repeated;
  for (const float value : bias) repeated.insert(repeated.end(), static_cast<size_t>(attributes.phases()), value);
  return repeated;
}

Shuffle make_shuffle(const TransposedAttributes& attributes, const std::vector<int64_t>& input_shape) {
  Shuffle shuffle;
  shuffle.stride = attributes.conv.stride;
  shuffle.output = output_extents(attributes, input_extents(attributes, input_shape));
  shuffle.places = places_of(attributes, shuffle.output);
  return shuffle;
}

}  // namespace n2n
