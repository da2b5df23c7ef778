// Sixteen pixels of four channels, brought side by side; instructions that every x86-64 processor has.
#pragma once

#include <emmintrin.h>

#include <cstdint>

namespace {

inline void interleave16(const uint8_t* const (&channels)[4], int64_t first, uint8_t* packed) {
  __m128i v[4];
  for (int c = 0; c < 4; ++c) v[c] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(channels[c] + first));
  const __m128i low01 = _mm_unpacklo_epi8(v[0], v[1]);
  const __m128i high01 = _mm_unpackhi_epi8(v[0], v[1]);
  const __m128i low23 = _mm_unpacklo_epi8(v[2], v[3]);
  const __m128i high23 = _mm_unpackhi_epi8(v[2], v[3]);
  auto* target = reinterpret_cast<__m128i*>(packed);
  _mm_storeu_si128(target, _mm_unpacklo_epi16(low01, low23));
  _mm_storeu_si128(target + 1, _mm_unpackhi_epi16(low01, low23));
  _mm_storeu_si128(target + 2, _mm_unpacklo_epi16(high01, high23));
  _mm_storeu_si128(target + 3, _mm_unpackhi_epi16(high01, high23));
}

}  // namespace
