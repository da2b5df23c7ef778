// Vectors of eight 32-bit integers, AVX2.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "interleave_sse2.h"

namespace {

struct Int8Simd {
  static constexpr int kLanes = 8;
  static constexpr int kMaxVectors = 8;  // as with VNNI
  // Two products are added in 16 bits, which end at 32,767: 255 * 128 fits. Heavier pairs are split before.
  static constexpr int kPairLimit = 128;
  static constexpr int64_t kInterleaved = 16;
  using Reg = __m256i;
  using Floats = __m256;
  using Pair = Reg;  // of 16-bit integers

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
  static Reg rounded(Reg sum, Floats multiplier) {
    return nearest(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), multiplier));
  }
  // The nearest whole number between two bounds, as a float.
  static Floats rounded_within(Reg sum, Floats multiplier, Floats low, Floats high) {
    const Floats scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), multiplier);
    const Floats within = _mm256_min_ps(_mm256_max_ps(scaled, low), high);
    return _mm256_round_ps(within, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static Floats to_floats(Reg values) { return _mm256_cvtepi32_ps(values); }
  static Floats levels_from(const uint8_t* p, Reg zero) {
    const Reg levels = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(levels, zero));
  }
  static Reg rounded_sum(Floats mine, Floats own, Floats theirs, Floats other) {
    return nearest(_mm256_add_ps(_mm256_mul_ps(mine, own), _mm256_mul_ps(theirs, other)));
  }

  // Adds `zero` and saturates to levels on the way.
  template <int Vectors>
  static void store(uint8_t* target, const Reg (&values)[Vectors], int32_t zero) {
    const Reg shift = _mm256_set1_epi16(static_cast<int16_t>(zero));
    constexpr int kWhole = Vectors / 4 * 4;
#pragma GCC unroll 16
    for (int i = 0; i < kWhole; i += 4) {
      const Reg bytes = four_to_bytes(values[i], values[i + 1], values[i + 2], values[i + 3], shift);
      _mm256_storeu_si256(reinterpret_cast<Reg*>(target + i * kLanes), bytes);
    }
    constexpr int kRest = Vectors - kWhole;
    if constexpr (kRest != 0) {
      const Reg none = _mm256_setzero_si256();
      const Reg second = kRest > 1 ? values[kWhole + (kRest > 1 ? 1 : 0)] : none;
      const Reg third = kRest > 2 ? values[Vectors - 1] : none;
      const Reg bytes = four_to_bytes(values[kWhole], second, third, none, shift);
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
  // The rounded sums of two outputs, with `zero` added.
  static Reg pair(Reg first, Reg second, int32_t zero) {
    return _mm256_adds_epi16(_mm256_packs_epi32(first, second), _mm256_set1_epi16(static_cast<int16_t>(zero)));
  }
  // A vector of packed pixels, from the pairs of its first two and its last two outputs.
  static void store_packed(uint8_t* target, Reg first, Reg second) {
    const __m128i turn = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const Reg bytes = _mm256_packus_epi16(first, second);
    _mm256_storeu_si256(reinterpret_cast<Reg*>(target),
                        _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(turn)));
  }
  static void interleave(const uint8_t* const (&channels)[4], int64_t first, uint8_t* packed) {
    interleave16(channels, first, packed);
  }

 private:
  static Reg four_to_bytes(Reg a, Reg b, Reg c, Reg d, Reg shift) {
    const Reg bytes = _mm256_packus_epi16(_mm256_adds_epi16(_mm256_packs_epi32(a, b), shift),
                                          _mm256_adds_epi16(_mm256_packs_epi32(c, d), shift));
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  }
};

}  // namespace
