// Weights for fuzz cases: coded at random, with and without blocks, or garbage.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "error.h"
#include "fuzz/draws.h"
#include "weights.h"

namespace n2n {

inline SparseWeights garbage_weights(Draws& draws, const WeightShape& shape) {
  CodedWeights coded;
  coded.bitmask = draws.chance(0.3);
  coded.gap_bytes = draws.chance(0.5) ? 1 : 2;
  const auto count = static_cast<size_t>(draws.between(0, 60));
  coded.position_count = draws.chance(0.9) ? count : static_cast<size_t>(draws.between(0, 60));
  coded.value_count = count;
  std::vector<uint16_t> positions(coded.position_count + 1);
  for (uint16_t& position : positions) {
    position = static_cast<uint16_t>(draws.between(0, draws.chance(0.05) ? 65535 : 40));
  }
  std::vector<float> values(count + 1);
  for (float& value : values) value = draws.chance(0.005) ? std::numeric_limits<float>::quiet_NaN() : draws.number();
  std::vector<float> scale(static_cast<size_t>(draws.between(0, 3)));
  for (float& value : scale) value = draws.number();
  coded.positions = positions.data();
  coded.values = values.data();
  coded.value_type = static_cast<ValueType>(draws.between(0, 2));
  coded.scale = scale.data();
  coded.scale_count = scale.size();
  return decode(coded, shape);
}

inline SparseWeights random_weights(Draws& draws, const WeightShape& shape) {
  validate(shape);
  const int64_t places = shape.outputs * shape.inputs * shape.taps;
  require(places <= 1 << 20, "too large for a fuzz case");
  if (draws.chance(0.2)) return garbage_weights(draws, shape);
  std::vector<uint8_t> mask(static_cast<size_t>((places + 7) / 8));
  std::vector<float> values;
  const double density = draws.real(0.0, draws.chance(0.1) ? 1.0 : 0.3);
  const bool blocks = draws.chance(0.4);
  const int64_t row = shape.inputs * shape.taps;
  std::vector<uint8_t> pattern(static_cast<size_t>(row));
  for (int64_t o = 0; o < shape.outputs; ++o) {
    if (!blocks || o % 4 == 0) {
      for (uint8_t& present : pattern) present = draws.chance(density) ? 1 : 0;
    }
    for (int64_t i = 0; i < row; ++i) {
      if (pattern[static_cast<size_t>(i)] == 0) continue;
      const int64_t place = o * row + i;
      mask[static_cast<size_t>(place / 8)] |= static_cast<uint8_t>(1U << (place % 8));
      values.push_back(draws.number());
    }
  }
  CodedWeights coded;
  coded.bitmask = true;
  coded.positions = mask.data();
  coded.position_count = mask.size();
  coded.values = values.data();
  coded.value_count = values.size();
  return decode(coded, shape);
}

}  // namespace n2n
