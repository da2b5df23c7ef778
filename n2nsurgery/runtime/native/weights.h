// Sparse weights: decoded once from the model's compact form, checked, and kept as rows of (channel, tap, value).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace n2n {

// The flattened weight [outputs, inputs, taps]: outputs rows, each holding `inputs * taps` places.
struct WeightShape {
  int64_t outputs = 0;
  int64_t inputs = 0;  // per group
  int64_t taps = 0;
};

enum class ValueType { kFloat, kFloat16, kInt8 };

// Views of the initializers. `positions` are gaps (1 or 2 bytes each) or a bitmask (little bit order).
struct CodedWeights {
  const void* positions = nullptr;
  size_t position_count = 0;  // elements: gaps, or bytes of the bitmask
  int gap_bytes = 1;          // 1 or 2; ignored for a bitmask
  bool bitmask = false;
  const void* values = nullptr;
  size_t value_count = 0;
  ValueType value_type = ValueType::kFloat;
  const float* scale = nullptr;  // int8 only: one, or one per output
  size_t scale_count = 0;
};

struct SparseWeights {
  WeightShape shape;
  std::vector<int64_t> row;       // outputs + 1: where each output's entries begin
  std::vector<int32_t> channel;   // input channel of each entry, ascending within a row
  std::vector<int32_t> tap;       // kernel position of each entry
  std::vector<float> value;

  int64_t nnz() const { return static_cast<int64_t>(value.size()); }
};

// Throws Error if the coded data do not describe a weight of this shape: wrong lengths, a place outside the weight, two
// entries at one place, a value or scale that is not finite.
SparseWeights decode(const CodedWeights& coded, const WeightShape& shape);

// Throws Error if a dimension is not positive or the weight is too large to index.
void validate(const WeightShape& shape);

}  // namespace n2n
