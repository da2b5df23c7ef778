// What training needs of AVX-512 beyond the inference kernels' vectors.
#pragma once

#include "../simd_avx512.h"

namespace {

constexpr int kMultiplyVectors = 16;
constexpr int kWeightVectors = 16;

struct TrainingSimd : Simd {
  static void stream(float* p, Reg v) { _mm512_stream_ps(p, v); }  // p: of whole vectors
  // v where x is above zero or NaN, else 0
  static Reg where_positive(Reg x, Reg v) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_NLE_UQ), v);
  }
};

// Halves of two vectors summed crosswise: of 16 vectors one remains after four rounds, with each one's sum in a lane.
inline __m512 merge_quarters(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE));
}
inline __m512 merge_eighths(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD));
}
inline __m512 merge_pairs(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
}
inline __m512 merge_lanes(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xEE));
}

inline __m512 merged_four(const float* held, int first) {
  const auto row = [held, first](int i) { return _mm512_load_ps(held + 16 * (first + 4 * i)); };
  return merge_eighths(merge_quarters(row(0), row(1)), merge_quarters(row(2), row(3)));
}

// Lane j: the sum of the 16 lanes of the vector held[16 * j].
inline __m512 sums_of_lanes(const float* held) {
  const __m512 ab = merge_pairs(merged_four(held, 0), merged_four(held, 1));
  const __m512 cd = merge_pairs(merged_four(held, 2), merged_four(held, 3));
  return merge_lanes(ab, cd);
}

}  // namespace
