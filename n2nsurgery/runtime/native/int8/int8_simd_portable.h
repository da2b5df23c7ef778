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
  using Weights = const int8_t*;

  static float floats(float value) { return value; }
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
  static Reg rounded(Reg sum, float multiplier, Reg zero) {
    for (int i = 0; i < kLanes; ++i) {
      sum.lane[i] = nearest(static_cast<float>(sum.lane[i]) * multiplier) + zero.lane[i];
    }
    return sum;
  }
  static Reg rounded_sum(Reg mine, float own, Reg theirs, float other, Reg zero) {
    for (int i = 0; i < kLanes; ++i) {
      const float scaled = static_cast<float>(mine.lane[i]) * own;
      mine.lane[i] = nearest(scaled + static_cast<float>(theirs.lane[i]) * other) + zero.lane[i];
    }
    return mine;
  }
  static Reg subtract(Reg a, Reg b) {
    for (int i = 0; i < kLanes; ++i) a.lane[i] -= b.lane[i];
    return a;
  }
  static Reg clamp(Reg value) {
    for (int32_t& lane : value.lane) lane = std::clamp(lane, 0, 255);
    return value;
  }
  static Reg load_levels(const uint8_t* p) {
    Reg levels;
    for (int i = 0; i < kLanes; ++i) levels.lane[i] = p[i];
    return levels;
  }
  template <int Vectors>
  static void store(uint8_t* target, const Reg (&values)[Vectors]) {
    for (int v = 0; v < Vectors; ++v) {
      for (int i = 0; i < kLanes; ++i) {
        target[v * kLanes + i] = static_cast<uint8_t>(std::clamp(values[v].lane[i], 0, 255));
      }
    }
  }
  static void interleave(const uint8_t* const (&channels)[4], int64_t first, uint8_t* packed) {
    for (int c = 0; c < 4; ++c) packed[c] = channels[c][first];
  }
};

}  // namespace
