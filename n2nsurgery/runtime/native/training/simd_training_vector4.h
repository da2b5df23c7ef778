// What training needs of vectors of four floats beyond the inference kernels.
#pragma once

#include "../simd_vector4.h"

namespace {

#if defined(__aarch64__)
constexpr int kMultiplyVectors = 16;
constexpr int kWeightVectors = 16;
#else
constexpr int kMultiplyVectors = 12;
constexpr int kWeightVectors = 8;
#endif

struct TrainingSimd : Simd {
  static void stream(float* p, Reg v) { store(p, v); }
  // v where x is above zero or NaN, else 0
  static Reg where_positive(Reg x, Reg v) { return x <= zero() ? zero() : v; }
};

// Lane j: the sum of the 4 lanes of the vector held[4 * j].
inline Simd::Reg sums_of_lanes(const float* held) {
  const auto sum = [held](int i) { return (held[4 * i] + held[4 * i + 2]) + (held[4 * i + 1] + held[4 * i + 3]); };
  return Simd::Reg{sum(0), sum(1), sum(2), sum(3)};
}

}  // namespace
