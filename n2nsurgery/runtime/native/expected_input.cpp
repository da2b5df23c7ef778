#include "expected_input.h"

#include <utility>

#include "error.h"

namespace n2n {
namespace {

constexpr int64_t kMaxFloats = int64_t{1} << 28;  // of input or output: 1 GB
constexpr int64_t kMaxPairs = int64_t{1} << 26;   // of output and input channel: what tiles may multiply to
constexpr int64_t kMaxTaps = int64_t{1} << 12;

// Whether the product of positive extents is at most `most`.
template <class Extents>
bool product_within(int64_t most, const Extents& extents) {
  for (const int64_t extent : extents) {
    if (extent < 1 || extent > most) return false;
    most /= extent;
  }
  return true;
}

// What a plan's size depends on besides the input: outputs, inputs of a group, and kernel.
struct Sizes {
  int64_t spatial_rank, outputs, group_inputs;
  Axes kernel;
};

template <class Attributes>
std::optional<ConvProblem> plausible_problem(const Attributes& attributes, const Sizes& sizes,
                                             std::vector<int64_t> claimed) {
  if (claimed.size() != static_cast<size_t>(sizes.spatial_rank) + 2) return std::nullopt;
  claimed[0] = 1;
  if (!product_within(kMaxFloats, claimed)) return std::nullopt;
  if (!product_within(kMaxPairs, Axes{sizes.outputs, sizes.group_inputs, sizes.kernel[0]})) return std::nullopt;
  if (!product_within(kMaxTaps, sizes.kernel)) return std::nullopt;
  try {
    if (!product_within(kMaxFloats, output_shape(attributes, claimed))) return std::nullopt;
    return make_problem(attributes, claimed);
  } catch (const Error&) {
    return std::nullopt;  // an input of this shape is refused when it comes
  }
}

}  // namespace

std::optional<ConvProblem> expected_problem(const ConvAttributes& attributes, std::vector<int64_t> claimed) {
  return plausible_problem(attributes,
                           {attributes.spatial_rank, attributes.outputs, attributes.group_inputs, attributes.kernel},
                           std::move(claimed));
}

std::optional<ConvProblem> expected_problem(const TransposedAttributes& attributes, std::vector<int64_t> claimed) {
  const ConvAttributes& conv = attributes.conv;
  return plausible_problem(attributes,
                           {conv.spatial_rank, attributes.outputs() * attributes.phases(), conv.outputs / conv.groups,
                            attributes.extent},
                           std::move(claimed));
}

std::optional<int64_t> expected_rows(const WeightShape& weight, const std::vector<int64_t>& claimed) {
  if (claimed.size() < 2 || claimed.back() != weight.inputs) return std::nullopt;
  if (!product_within(kMaxPairs, Axes{weight.outputs, weight.inputs, 1})) return std::nullopt;
  std::vector<int64_t> one = claimed;
  one.front() = 1;
  if (!product_within(kMaxFloats, one)) return std::nullopt;
  one.back() = weight.outputs;
  if (!product_within(kMaxFloats, one)) return std::nullopt;
  int64_t rows = 1;
  for (size_t i = 1; i + 1 < claimed.size(); ++i) rows *= claimed[i];
  return rows;
}

}  // namespace n2n
