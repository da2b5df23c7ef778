#include "geometry.h"

#include <string>
#include <utility>

#include "error.h"

namespace n2n {
namespace {

constexpr int64_t kMaxExtent = int64_t{1} << 30;
constexpr int64_t kMaxTaps = int64_t{1} << 20;

std::string text(const std::vector<int64_t>& values) {
  std::string joined = "[";
  for (size_t i = 0; i < values.size(); ++i) joined += (i == 0 ? "" : ", ") + std::to_string(values[i]);
  return joined + "]";
}

// Copies a list of per-axis values to the last axes; an absent list leaves the defaults.
Axes spread(const char* name, const std::vector<int64_t>& values, size_t rank, int64_t otherwise, int64_t least) {
  Axes axes{otherwise, otherwise, otherwise};
  if (values.empty()) return axes;
  require(values.size() == rank, std::string(name) + " " + text(values) + " does not have " + std::to_string(rank) +
                                     " elements, one per spatial axis");
  for (size_t i = 0; i < rank; ++i) {
    require(values[i] >= least && values[i] <= kMaxExtent,
            std::string(name) + " " + text(values) + " has an element out of range");
    axes[3 - rank + i] = values[i];
  }
  return axes;
}

Axes output_extents(const ConvAttributes& conv, const Axes& input) {
  Axes output{1, 1, 1};
  for (size_t axis = 0; axis < 3; ++axis) {
    const int64_t reach = (conv.kernel[axis] - 1) * conv.dilation[axis] + 1;
    const int64_t room = input[axis] + conv.pad_begin[axis] + conv.pad_end[axis] - reach;
    require(room >= 0, "the input's spatial extent " + std::to_string(input[axis]) +
                           " is smaller than the kernel's reach " + std::to_string(reach) + " less padding");
    output[axis] = room / conv.stride[axis] + 1;
  }
  return output;
}

Axes spatial_extents(const ConvAttributes& conv, const std::vector<int64_t>& shape) {
  const auto rank = static_cast<size_t>(conv.spatial_rank);
  require(shape.size() == rank + 2, "X " + text(shape) + " does not have " + std::to_string(rank + 2) + " dimensions");
  require(shape[0] >= 0 && shape[1] == conv.group_inputs * conv.groups,
          "X " + text(shape) + " does not have " + std::to_string(conv.group_inputs * conv.groups) + " channels");
  Axes input{1, 1, 1};
  for (size_t i = 0; i < rank; ++i) {
    require(shape[2 + i] >= 1 && shape[2 + i] <= kMaxExtent, "X " + text(shape) + " has an empty spatial axis");
    input[3 - rank + i] = shape[2 + i];
  }
  return input;
}

// One tap, no stride, no padding on this axis: pixels along it are independent of each other.
bool trivial(const ConvProblem& problem, size_t axis) {
  return problem.kernel[axis] == 1 && problem.stride[axis] == 1 && problem.pad[axis] == 0 &&
         problem.input[axis] == problem.output[axis];
}

}  // namespace

// A column of pixels becomes a row, too.
void reduce(ConvProblem& problem) {
  if (trivial(problem, 2) && trivial(problem, 1) && trivial(problem, 0)) {
    const int64_t pixels = problem.input_pixels();
    problem.input = problem.output = Axes{1, 1, pixels};
    return;
  }
  if (problem.input[2] == 1 && trivial(problem, 2)) {
    for (Axes* axes : {&problem.input, &problem.output, &problem.kernel, &problem.stride, &problem.dilation,
                       &problem.pad}) {
      std::swap((*axes)[1], (*axes)[2]);
    }
  }
}

ConvAttributes parse_conv_attributes(const std::vector<int64_t>& weight_shape, const std::vector<int64_t>& strides,
                                     const std::vector<int64_t>& pads, const std::vector<int64_t>& dilations,
                                     int64_t group) {
  require(weight_shape.size() >= 3 && weight_shape.size() <= 5,
          "weight_shape " + text(weight_shape) + " must have 3, 4 or 5 elements");
  ConvAttributes conv;
  const size_t rank = weight_shape.size() - 2;
  conv.spatial_rank = static_cast<int>(rank);
  conv.groups = group;
  conv.outputs = weight_shape[0];
  conv.group_inputs = weight_shape[1];
  require(conv.outputs >= 1 && conv.outputs <= kMaxExtent && conv.group_inputs >= 1 && conv.group_inputs <= kMaxExtent,
          "weight_shape " + text(weight_shape) + " has an extent out of range");
  require(group >= 1 && conv.outputs % group == 0,
          "group " + std::to_string(group) + " does not divide the first element of weight_shape " + text(weight_shape));
  conv.kernel = spread("weight_shape", {weight_shape.begin() + 2, weight_shape.end()}, rank, 1, 1);
  require(conv.kernel[0] * conv.kernel[1] <= kMaxTaps && conv.kernel[0] * conv.kernel[1] * conv.kernel[2] <= kMaxTaps,
          "weight_shape " + text(weight_shape) + " has more than " + std::to_string(kMaxTaps) + " kernel positions");
  conv.stride = spread("strides", strides, rank, 1, 1);
  conv.dilation = spread("dilations", dilations, rank, 1, 1);
  if (!pads.empty()) {
    require(pads.size() == 2 * rank, "pads " + text(pads) + " must have " + std::to_string(2 * rank) + " elements");
    const auto middle = pads.begin() + static_cast<std::ptrdiff_t>(rank);
    conv.pad_begin = spread("pads", {pads.begin(), middle}, rank, 0, 0);
    conv.pad_end = spread("pads", {middle, pads.end()}, rank, 0, 0);
    for (size_t i = 3 - rank; i > 0; --i) conv.pad_begin[i - 1] = conv.pad_end[i - 1] = 0;
  }
  validate(conv.weight_shape());
  return conv;
}

ConvProblem make_problem(const ConvAttributes& attributes, const std::vector<int64_t>& input_shape) {
  ConvProblem problem;
  problem.input = spatial_extents(attributes, input_shape);
  problem.output = output_extents(attributes, problem.input);
  problem.batch = input_shape[0];
  problem.groups = attributes.groups;
  problem.group_inputs = attributes.group_inputs;
  problem.group_outputs = attributes.outputs / attributes.groups;
  problem.kernel = attributes.kernel;
  problem.stride = attributes.stride;
  problem.dilation = attributes.dilation;
  problem.pad = attributes.pad_begin;
  reduce(problem);
  return problem;
}

std::vector<int64_t> output_shape(const ConvAttributes& attributes, const std::vector<int64_t>& input_shape) {
  const Axes output = output_extents(attributes, spatial_extents(attributes, input_shape));
  const auto rank = static_cast<size_t>(attributes.spatial_rank);
  std::vector<int64_t> shape{input_shape[0], attributes.outputs};
  shape.insert(shape.end(), output.end() - static_cast<std::ptrdiff_t>(rank), output.end());
  return shape;
}

}  // namespace n2n
