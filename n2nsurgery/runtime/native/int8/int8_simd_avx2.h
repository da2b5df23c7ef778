// Vectors of eight 32-bit integers, AVX2.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "interleave_sse2.h"

namespace {

struct Int8Simd {
  static constexpr int kLanes = 8;
  static constexpr int kMaxVectors = 12;
  // Two products are added in 16 bits, which end at 32,767: 255 * 128 fits. Heavier pairs are split before.
  static constexpr int kPairLimit = 128;
  static constexpr int64_t kInterleaved = 16;
  using Reg = __m256i;
  using Floats = __m256;

  static Floats floats(float value) { return _mm256_set1_ps(value); }
  static Reg integers(int32_t value) { return _mm256_set1_epi32(value); }
  static Reg weights(const int8_t* weight) {
    int32_t four = 0;
    std::memcpy(&four, weight, sizeof(four));
    return _mm256_set1_epi32(four);
  }
  static Reg dot(Reg sum, const uint8_t* x, Reg weights) {
    const Reg pairs = _mm256_maddubs_epi16(_mm256_loadu_si256(reinterpret_cast<const Reg*>(x)), weights);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }

  // A sum beyond the largest integer would convert to the least one; one below the least does anyway.
  static Reg nearest(Floats value) { return _mm256_cvtps_epi32(_mm256_min_ps(value, _mm256_set1_ps(1e6F))); }
  static Reg rounded(Reg sum, Floats multiplier, Reg zero) {
    return _mm256_add_epi32(nearest(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), multiplier)), zero);
  }
  static Reg rounded_sum(Reg mine, Floats own, Reg theirs, Floats other, Reg zero) {
    const Floats sum = _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(mine), own),
                                     _mm256_mul_ps(_mm256_cvtepi32_ps(theirs), other));
    return _mm256_add_epi32(nearest(sum), zero);
  }
  static Reg subtract(Reg a, Reg b) { return _mm256_sub_epi32(a, b); }
  static Reg clamp(Reg value) {
    return _mm256_min_epi32(_mm256_max_epi32(value, _mm256_setzero_si256()), _mm256_set1_epi32(255));
  }
  static Reg load_levels(const uint8_t* p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }

  // Saturates to levels on the way.
  template <int Vectors>
  static void store(uint8_t* target, const Reg (&values)[Vectors]) {
    constexpr int kWhole = Vectors / 4 * 4;
    for (int i = 0; i < kWhole; i += 4) {
      const Reg bytes = four_to_bytes(values[i], values[i + 1], values[i + 2], values[i + 3]);
      _mm256_storeu_si256(reinterpret_cast<Reg*>(target + i * kLanes), bytes);
    }
    constexpr int kRest = Vectors - kWhole;
    if constexpr (kRest != 0) {
      const Reg none = _mm256_setzero_si256();
      const Reg second = kRest > 1 ? values[kWhole + (kRest > 1 ? 1 : 0)] : none;
      const Reg third = kRest > 2 ? values[Vectors - 1] : none;
      const Reg bytes = four_to_bytes(values[kWhole], second, third, none);
      const __m128i low = _mm256_castsi256_si128(bytes);
      uint8_t* end = target + kWhole * kLanes;
      if constexpr (kRest == 1) {
        _mm_storel_epi64(reinterpret_cast<__m128i*>(end), low);
      } else {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(end), low);
      }
      if constexpr (kRest == 3) {
        _mm_storel_epi64(reinterpret_cast<__m128i*>(end + 16), _mm256_extracti128_si256(bytes, 1));
      }
    }
  }
  static void interleave(const uint8_t* const (&channels)[4], int64_t first, uint8_t* packed) {
    interleave16(channels, first, packed);
  }

 private:
  static Reg four_to_bytes(Reg a, Reg b, Reg c, Reg d) {
    const Reg bytes = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  }
};

}  // namespace
