// Vectors of eight 32-bit integers in plain C++.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace {

struct Int8Simd {
  static constexpr int kLanes = 8;
  static constexpr int kMaxVectors = 4;
  static constexpr int kPairLimit = 0;
  static constexpr int64_t kInterleaved = 1;

  struct Reg {
    int32_t lane[kLanes];
  };
  struct Pair {
    Reg output[2];
  };
  struct Floats {
    float lane[kLanes];
  };
  using Weights = const int8_t*;

  static Floats floats(float value) {
    Floats all;
    for (float& lane : all.lane) lane = value;
    return all;
  }
  static Reg integers(int32_t value) {
    Reg all;
    for (int32_t& lane : all.lane) lane = value;
    return all;
  }
  static Weights weights(const int8_t* weight) { return weight; }
  static Reg dot(Reg sum, const uint8_t* x, Weights w) {
    for (int i = 0; i < kLanes; ++i) {
      sum.lane[i] += x[4 * i] * w[0] + x[4 * i + 1] * w[1] + x[4 * i + 2] * w[2] + x[4 * i + 3] * w[3];
    }
    return sum;
  }

  // Beyond what any level can be, a sum is cut off, so that it fits an integer.
  static int32_t nearest(float value) { return static_cast<int32_t>(std::nearbyint(std::clamp(value, -1e6F, 1e6F))); }
  static Reg rounded(Reg sum, const Floats& multiplier) {
    for (int i = 0; i < kLanes; ++i) sum.lane[i] = nearest(static_cast<float>(sum.lane[i]) * multiplier.lane[i]);
    return sum;
  }
  // The nearest whole number between two bounds, as a float.
  static Floats rounded_within(const Reg& sum, Floats multiplier, const Floats& low, const Floats& high) {
    for (int i = 0; i < kLanes; ++i) {
      const float scaled = static_cast<float>(sum.lane[i]) * multiplier.lane[i];
      multiplier.lane[i] = std::nearbyint(std::clamp(scaled, low.lane[i], high.lane[i]));
    }
    return multiplier;
  }
  static Floats to_floats(const Reg& values) {
    Floats found;
    for (int i = 0; i < kLanes; ++i) found.lane[i] = static_cast<float>(values.lane[i]);
    return found;
  }
  static Floats levels_from(const uint8_t* p, const Reg& zero) {
    Floats found;
    for (int i = 0; i < kLanes; ++i) found.lane[i] = static_cast<float>(p[i] - zero.lane[i]);
    return found;
  }
  static Reg rounded_sum(const Floats& mine, const Floats& own, const Floats& theirs, const Floats& other) {
    Reg sum;
    for (int i = 0; i < kLanes; ++i) {
      const float scaled = mine.lane[i] * own.lane[i];
      sum.lane[i] = nearest(scaled + theirs.lane[i] * other.lane[i]);
    }
    return sum;
  }
  // Adds `zero` and saturates to levels.
  template <int Vectors>
  static void store(uint8_t* target, const Reg (&values)[Vectors], int32_t zero) {
    for (int v = 0; v < Vectors; ++v) {
      for (int i = 0; i < kLanes; ++i) {
        target[v * kLanes + i] = static_cast<uint8_t>(std::clamp(values[v].lane[i] + zero, 0, 255));
      }
    }
  }
  // The rounded sums of two outputs, with `zero` added.
  static Pair pair(const Reg& first, const Reg& second, int32_t zero) {
    Pair both{{first, second}};
    for (Reg& output : both.output) {
      for (int32_t& lane : output.lane) lane += zero;
    }
    return both;
  }
  // A vector of packed pixels, from the pairs of its first two and its last two outputs.
  static void store_packed(uint8_t* target, const Pair& first, const Pair& second) {
    for (int i = 0; i < kLanes; ++i) {
      for (int c = 0; c < 4; ++c) {
        const Pair& both = c < 2 ? first : second;
        target[4 * i + c] = static_cast<uint8_t>(std::clamp(both.output[c % 2].lane[i], 0, 255));
      }
    }
  }
  static void interleave(const uint8_t* const (&channels)[4], int64_t first, uint8_t* packed) {
    for (int c = 0; c < 4; ++c) packed[c] = channels[c][first];
  }
};

}  // namespace
