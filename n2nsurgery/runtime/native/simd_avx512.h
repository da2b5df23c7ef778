// Vectors of 16 floats, AVX-512 F/VL/DQ/BW.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace {

struct Simd {
  static constexpr int kLanes = 16;
  static constexpr int kMaxRegisters = 16;
  static constexpr int kMaxBlockRegisters = 6;
  using Reg = __m512;

  static Reg zero() { return _mm512_setzero_ps(); }
  static Reg broadcast(float v) { return _mm512_set1_ps(v); }
  static Reg load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, Reg v) { _mm512_storeu_ps(p, v); }
  static Reg add(Reg a, Reg b) { return _mm512_add_ps(a, b); }
  static Reg fma(Reg w, Reg x, Reg sum) { return _mm512_fmadd_ps(w, x, sum); }
  static Reg at_least(Reg floor, Reg v) { return _mm512_max_ps(floor, v); }  // NaN in v stays NaN
  static Reg at_most(Reg ceiling, Reg v) { return _mm512_min_ps(ceiling, v); }  // as well
  static Reg subtract(Reg a, Reg b) { return _mm512_sub_ps(a, b); }
  static Reg multiply(Reg a, Reg b) { return _mm512_mul_ps(a, b); }
  static Reg divide(Reg a, Reg b) { return _mm512_div_ps(a, b); }
  static Reg where_negative(Reg x, Reg then, Reg otherwise) {
    return _mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(x)), otherwise, then);
  }
  // 2^n, where v is n plus a float that ends at the units; -127, the least n, gives 0.
  static Reg power_of_two(Reg v) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_castps_si512(v), _mm512_set1_epi32(127)), 23));
  }

  // Of 32 values, those with the numbers in the last five bits of each lane of `place`.
  static constexpr bool kLooksUp = true;
  static Reg lookup(const float* values, Reg place) {
    return _mm512_permutex2var_ps(_mm512_load_ps(values), _mm512_castps_si512(place), _mm512_load_ps(values + kLanes));
  }
  static Reg times_power_of_two(Reg v, Reg n) { return _mm512_scalef_ps(v, n); }  // of n rounded down
  // v with the other sign in lanes where x is negative.
  static Reg flip_where_negative(Reg x, Reg v) {
    constexpr int kAndThenXor = 0x6A;
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(INT32_MIN),
                                                         _mm512_castps_si512(v), kAndThenXor));
  }

  // Four values, repeated in every 128-bit lane; weight<J> spreads one of them.
  static Reg quad(const float* p) { return _mm512_broadcast_f32x4(_mm_loadu_ps(p)); }
  template <int J>
  static Reg weight(Reg quad) {
    return _mm512_permute_ps(quad, J * 0x55);
  }

  static __mmask16 first(int n) { return static_cast<__mmask16>((1U << n) - 1); }
  static Reg load_first(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static void store_first(float* p, Reg v, int n) { _mm512_mask_storeu_ps(p, first(n), v); }
  static constexpr bool kCompresses = true;
  static Reg compress(Reg v, uint32_t mask) { return _mm512_maskz_compress_ps(static_cast<__mmask16>(mask), v); }

  // Lanes [low, high) of p; memory outside is not touched, the other lanes are zero.
  using Range = __mmask16;
  static Range range(int low, int high) {
    low = low < 0 ? 0 : low > 16 ? 16 : low;
    high = high < 0 ? 0 : high > 16 ? 16 : high;
    return low >= high ? Range{0} : static_cast<Range>(((1U << high) - 1) & ~((1U << low) - 1));
  }
  static Reg load_range(const float* p, Range r) { return _mm512_maskz_loadu_ps(r, p); }

  // The even elements of p[0..32), restricted to elements [low, high).
  struct EvenRange {
    __mmask16 lower, upper;
  };
  static EvenRange even_range(int low, int high) { return {range(low, high), range(low - 16, high - 16)}; }
  static Reg load_even(const float* p, EvenRange r) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_ps(_mm512_maskz_loadu_ps(r.lower, p), even, _mm512_maskz_loadu_ps(r.upper, p + 16));
  }

  // The even and the odd elements of p[0..32).
  struct Pairs {
    Reg even, odd;
  };
  static Pairs load_pairs(const float* p) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    const Reg lower = load(p);
    const Reg upper = load(p + 16);
    return {_mm512_permutex2var_ps(lower, even, upper), _mm512_permutex2var_ps(lower, odd, upper)};
  }

  // Lanes of two vectors in turn.
  struct Zipped {
    Reg lower, upper;
  };
  static Zipped zip(Reg even, Reg odd) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    return {_mm512_permutex2var_ps(even, low, odd), _mm512_permutex2var_ps(even, high, odd)};
  }

  // Row i of a square of vectors becomes column i.
  __attribute__((always_inline)) static void turn(Reg (&v)[kLanes]) {
    Reg a[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; i += 2) {  // pairs of floats
      a[i] = _mm512_unpacklo_ps(v[i], v[i + 1]);
      a[i + 1] = _mm512_unpackhi_ps(v[i], v[i + 1]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; i += 4) {  // fours, in every quarter
      v[i] = unpack_low(a[i], a[i + 2]);
      v[i + 1] = unpack_high(a[i], a[i + 2]);
      v[i + 2] = unpack_low(a[i + 1], a[i + 3]);
      v[i + 3] = unpack_high(a[i + 1], a[i + 3]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 4; ++i) {  // quarters
      const Reg even_low = _mm512_shuffle_f32x4(v[i], v[i + 4], 0x88);
      const Reg even_high = _mm512_shuffle_f32x4(v[i + 8], v[i + 12], 0x88);
      const Reg odd_low = _mm512_shuffle_f32x4(v[i], v[i + 4], 0xDD);
      const Reg odd_high = _mm512_shuffle_f32x4(v[i + 8], v[i + 12], 0xDD);
      a[i] = _mm512_shuffle_f32x4(even_low, even_high, 0x88);
      a[i + 4] = _mm512_shuffle_f32x4(odd_low, odd_high, 0x88);
      a[i + 8] = _mm512_shuffle_f32x4(even_low, even_high, 0xDD);
      a[i + 12] = _mm512_shuffle_f32x4(odd_low, odd_high, 0xDD);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) v[i] = a[i];
  }

 private:
  static Reg unpack_low(Reg a, Reg b) {
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
  }
  static Reg unpack_high(Reg a, Reg b) {
    return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
  }
};

}  // namespace
