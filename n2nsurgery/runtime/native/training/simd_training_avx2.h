// What training needs of AVX2 beyond the inference kernels' vectors.
#pragma once

#include "../simd_avx2.h"

namespace {

constexpr int kMultiplyVectors = 12;
constexpr int kWeightVectors = 8;

struct TrainingSimd : Simd {
  static void stream(float* p, Reg v) { _mm256_stream_ps(p, v); }  // p: of whole vectors
  // v where x is above zero or NaN, else 0
  static Reg where_positive(Reg x, Reg v) {
    return _mm256_and_ps(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_NLE_UQ), v);
  }
};

inline __m256 merged_four(const float* held) {
  const auto row = [held](int i) { return _mm256_load_ps(held + 8 * i); };
  return _mm256_hadd_ps(_mm256_hadd_ps(row(0), row(1)), _mm256_hadd_ps(row(2), row(3)));
}

// Lane j: the sum of the 8 lanes of the vector held[8 * j].
inline __m256 sums_of_lanes(const float* held) {
  const __m256 low = merged_four(held);
  const __m256 high = merged_four(held + 32);
  return _mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
}

}  // namespace
