#include "expected_input.h"

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

}  // namespace

std::optional<ConvProblem> expected_problem(const ConvAttributes& attributes, std::vector<int64_t> claimed) {
  if (claimed.size() != static_cast<size_t>(attributes.spatial_rank) + 2) return std::nullopt;
  claimed[0] = 1;
  if (!product_within(kMaxFloats, claimed)) return std::nullopt;
  if (!product_within(kMaxPairs, Axes{attributes.outputs, attributes.group_inputs, attributes.kernel[0]})) {
    return std::nullopt;
  }
  if (!product_within(kMaxTaps, attributes.kernel)) return std::nullopt;
  try {
    if (!product_within(kMaxFloats, output_shape(attributes, claimed))) return std::nullopt;
    return make_problem(attributes, claimed);
  } catch (const Error&) {
    return std::nullopt;  // an input of this shape is refused when it comes
  }
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
