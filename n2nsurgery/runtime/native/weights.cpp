#include "weights.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "error.h"

namespace n2n {
namespace {

constexpr int64_t kMaxPlaces = int64_t{1} << 40;
constexpr int64_t kMaxExtent = int64_t{1} << 30;

float half_to_float(uint16_t half) {
  const int exponent = (half >> 10) & 0x1F;
  const int mantissa = half & 0x3FF;
  float magnitude = 0.0F;
  if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(mantissa), -24);
  } else if (exponent == 31) {
    magnitude = mantissa == 0 ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
  } else {
    magnitude = std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  }
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

// Reads one stored value; int8 values are scaled by their output's scale.
class ValueReader {
 public:
  ValueReader(const CodedWeights& coded, int64_t outputs) : coded_(coded) {
    if (coded.value_type != ValueType::kInt8) return;
    const auto expected = static_cast<size_t>(outputs);
    require(coded.scale != nullptr && (coded.scale_count == 1 || coded.scale_count == expected),
            "int8 values need a scale with 1 or " + std::to_string(outputs) + " elements, got " +
                std::to_string(coded.scale_count));
    for (size_t i = 0; i < coded.scale_count; ++i) {
      require(std::isfinite(coded.scale[i]), "scale element " + std::to_string(i) + " is not finite");
    }
  }

  float operator()(size_t index, int64_t output) const {
    float value = 0.0F;
    if (coded_.value_type == ValueType::kFloat) {
      std::memcpy(&value, static_cast<const char*>(coded_.values) + index * sizeof(float), sizeof(float));
    } else if (coded_.value_type == ValueType::kFloat16) {
      uint16_t half = 0;
      std::memcpy(&half, static_cast<const char*>(coded_.values) + index * sizeof(half), sizeof(half));
      value = half_to_float(half);
    } else {
      const float scale = coded_.scale[coded_.scale_count == 1 ? 0 : static_cast<size_t>(output)];
      value = static_cast<float>(static_cast<const int8_t*>(coded_.values)[index]) * scale;
    }
    if (!std::isfinite(value)) throw Error("weight value " + std::to_string(index) + " is not finite");
    return value;
  }

 private:
  const CodedWeights& coded_;
};

// Appends entries in ascending order of their place in the flattened weight.
class RowBuilder {
 public:
  explicit RowBuilder(SparseWeights& weights, size_t capacity) : weights_(weights) {
    weights_.row.reserve(static_cast<size_t>(weights.shape.outputs) + 1);
    weights_.row.push_back(0);
    weights_.channel.reserve(capacity);
    weights_.tap.reserve(capacity);
    weights_.value.reserve(capacity);
    row_end_ = row_size();
  }

  int64_t output_of(int64_t place) {
    while (place >= row_end_) {
      weights_.row.push_back(weights_.nnz());
      row_end_ += row_size();
    }
    return static_cast<int64_t>(weights_.row.size()) - 1;
  }

  void add(int64_t place, float value) {
    const auto within = static_cast<uint64_t>(place - (row_end_ - row_size()));
    const auto taps = static_cast<uint64_t>(weights_.shape.taps);
    const uint64_t channel = taps == 1 ? within : within / taps;
    weights_.channel.push_back(static_cast<int32_t>(channel));
    weights_.tap.push_back(static_cast<int32_t>(within - channel * taps));
    weights_.value.push_back(value);
  }

  void finish() {
    while (static_cast<int64_t>(weights_.row.size()) <= weights_.shape.outputs) weights_.row.push_back(weights_.nnz());
  }

 private:
  int64_t row_size() const { return weights_.shape.inputs * weights_.shape.taps; }

  SparseWeights& weights_;
  int64_t row_end_ = 0;
};

template <class Gap>
void decode_gaps(const CodedWeights& coded, int64_t places, const ValueReader& read, RowBuilder& rows) {
  require(coded.position_count == coded.value_count, "gaps and values differ in length: " +
                                                         std::to_string(coded.position_count) + " and " +
                                                         std::to_string(coded.value_count));
  const auto* gaps = static_cast<const Gap*>(coded.positions);
  int64_t place = 0;
  for (size_t i = 0; i < coded.position_count; ++i) {
    const Gap gap = gaps[i];
    if (gap == 0 && i != 0) throw Error("gap " + std::to_string(i) + " is 0: two entries at one place");
    place += gap;
    if (place >= places) {
      throw Error("gap " + std::to_string(i) + " leads to place " + std::to_string(place) + " of a weight with " +
                  std::to_string(places) + " places");
    }
    const float value = read(i, rows.output_of(place));
    const bool filler = value == 0.0F && gap == std::numeric_limits<Gap>::max();
    if (!filler) rows.add(place, value);
  }
}

void decode_bitmask(const CodedWeights& coded, int64_t places, const ValueReader& read, RowBuilder& rows) {
  const auto* bytes = static_cast<const uint8_t*>(coded.positions);
  require(coded.position_count == static_cast<size_t>((places + 7) / 8),
          "the bitmask has " + std::to_string(coded.position_count) + " bytes, a weight with " +
              std::to_string(places) + " places needs " + std::to_string((places + 7) / 8));
  size_t next = 0;
  for (int64_t base = 0; base < places; base += 8) {
    const unsigned byte = bytes[base / 8];
    for (int bit = 0; bit < 8; ++bit) {
      if ((byte >> bit & 1U) == 0) continue;
      require(base + bit < places, "the bitmask has bits set behind the weight's last place");
      require(next < coded.value_count, "the bitmask has more bits set than there are values");
      const float value = read(next, rows.output_of(base + bit));
      rows.add(base + bit, value);
      ++next;
    }
  }
  require(next == coded.value_count, "the bitmask has " + std::to_string(next) + " bits set for " +
                                         std::to_string(coded.value_count) + " values");
}

}  // namespace

void validate(const WeightShape& shape) {
  const int64_t extents[] = {shape.outputs, shape.inputs, shape.taps};
  int64_t places = 1;
  for (const int64_t extent : extents) {
    require(extent >= 1 && extent <= kMaxExtent, "weight_shape has an extent of " + std::to_string(extent));
    require(places <= kMaxPlaces / extent, "weight_shape describes too many weights");
    places *= extent;
  }
}

SparseWeights decode(const CodedWeights& coded, const WeightShape& shape) {
  validate(shape);
  SparseWeights weights;
  weights.shape = shape;
  const int64_t places = shape.outputs * shape.inputs * shape.taps;
  const ValueReader read(coded, shape.outputs);
  RowBuilder rows(weights, coded.value_count);
  if (coded.bitmask) {
    decode_bitmask(coded, places, read, rows);
  } else if (coded.gap_bytes == 1) {
    decode_gaps<uint8_t>(coded, places, read, rows);
  } else {
    decode_gaps<uint16_t>(coded, places, read, rows);
  }
  rows.finish();
  return weights;
}

}  // namespace n2n
