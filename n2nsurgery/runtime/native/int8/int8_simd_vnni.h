// Vectors of sixteen 32-bit integers, AVX-512 with VNNI.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "interleave_sse2.h"

namespace {

struct Int8Simd {
  static constexpr int kLanes = 16;
  static constexpr int kMaxVectors = 10;  // more would crowd the first cache, and the registers where y is packed
  static constexpr int kPairLimit = 0;
  static constexpr int64_t kInterleaved = 16;
  using Reg = __m512i;
  using Floats = __m512;
  using Pair = Reg;  // of 16-bit integers

  static Floats floats(float value) { return _mm512_set1_ps(value); }
  static Reg integers(int32_t value) { return _mm512_set1_epi32(value); }
  static Reg weights(const int8_t* weight) {
    int32_t four = 0;
    std::memcpy(&four, weight, sizeof(four));
    return _mm512_set1_epi32(four);
  }
  static Reg dot(Reg sum, const uint8_t* x, Reg weights) {
    return _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(x), weights);
  }

  // A sum beyond the largest integer would convert to the least one; one below the least does anyway.
  static Reg nearest(Floats value) { return _mm512_cvtps_epi32(_mm512_min_ps(value, _mm512_set1_ps(1e6F))); }
  static Reg rounded(Reg sum, Floats multiplier) {
    return nearest(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), multiplier));
  }
  // The nearest whole number between two bounds, as a float.
  static Floats rounded_within(Reg sum, Floats multiplier, Floats low, Floats high) {
    const Floats scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), multiplier);
    return _mm512_roundscale_ps(_mm512_min_ps(_mm512_max_ps(scaled, low), high),
                                _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static Floats to_floats(Reg values) { return _mm512_cvtepi32_ps(values); }
  static Floats levels_from(const uint8_t* p, Reg zero) {
    const Reg levels = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(levels, zero));
  }
  static Reg rounded_sum(Floats mine, Floats own, Floats theirs, Floats other) {
    return nearest(_mm512_add_ps(_mm512_mul_ps(mine, own), _mm512_mul_ps(theirs, other)));
  }

  // Adds `zero` and saturates to levels on the way.
  template <int Vectors>
  static void store(uint8_t* target, const Reg (&values)[Vectors], int32_t zero) {
    const Reg shift = integers(zero);
#pragma GCC unroll 16
    for (int i = 0; i < Vectors; ++i) {
      const Reg positive = _mm512_max_epi32(_mm512_add_epi32(values[i], shift), _mm512_setzero_si512());
      _mm_storeu_si128(reinterpret_cast<__m128i*>(target + i * kLanes), _mm512_cvtusepi32_epi8(positive));
    }
  }
  // The rounded sums of two outputs, with `zero` added.
  static Reg pair(Reg first, Reg second, int32_t zero) {
    return _mm512_adds_epi16(_mm512_packs_epi32(first, second), _mm512_set1_epi16(static_cast<int16_t>(zero)));
  }
  // A vector of packed pixels, from the pairs of its first two and its last two outputs.
  static void store_packed(uint8_t* target, Reg first, Reg second) {
    const __m128i turn = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const Reg bytes = _mm512_packus_epi16(first, second);
    _mm512_storeu_si512(target, _mm512_shuffle_epi8(bytes, _mm512_broadcast_i32x4(turn)));
  }
  static void interleave(const uint8_t* const (&channels)[4], int64_t first, uint8_t* packed) {
    interleave16(channels, first, packed);
  }
};

}  // namespace
