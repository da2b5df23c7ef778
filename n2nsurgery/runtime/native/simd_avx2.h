// Vectors of 8 floats, AVX2 and FMA.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace {

struct Simd {
  static constexpr int kLanes = 8;
  static constexpr int kMaxRegisters = 14;
  static constexpr int kMaxBlockRegisters = 3;
  using Reg = __m256;

  static Reg zero() { return _mm256_setzero_ps(); }
  static Reg broadcast(float v) { return _mm256_set1_ps(v); }
  static Reg load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, Reg v) { _mm256_storeu_ps(p, v); }
  static Reg add(Reg a, Reg b) { return _mm256_add_ps(a, b); }
  static Reg fma(Reg w, Reg x, Reg sum) { return _mm256_fmadd_ps(w, x, sum); }
  static Reg at_least(Reg floor, Reg v) { return _mm256_max_ps(floor, v); }  // NaN in v stays NaN
  static Reg at_most(Reg ceiling, Reg v) { return _mm256_min_ps(ceiling, v); }  // as well
  static Reg subtract(Reg a, Reg b) { return _mm256_sub_ps(a, b); }
  static Reg multiply(Reg a, Reg b) { return _mm256_mul_ps(a, b); }
  static Reg divide(Reg a, Reg b) { return _mm256_div_ps(a, b); }
  static Reg where_negative(Reg x, Reg then, Reg otherwise) { return _mm256_blendv_ps(otherwise, then, x); }
  // 2^n, where v is n plus a float that ends at the units; -127, the least n, gives 0.
  static Reg power_of_two(Reg v) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_castps_si256(v), _mm256_set1_epi32(127)), 23));
  }

  static constexpr bool kLooksUp = false;

  // Four values, repeated in both 128-bit lanes; weight<J> spreads one of them.
  static Reg quad(const float* p) { return _mm256_broadcast_ps(reinterpret_cast<const __m128*>(p)); }
  template <int J>
  static Reg weight(Reg quad) {
    return _mm256_permute_ps(quad, J * 0x55);
  }

  // Lanes [low, high) of p; memory outside is not touched, the other lanes are zero.
  using Range = __m256i;
  static Range range(int low, int high) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i from = _mm256_cmpgt_epi32(lane, _mm256_set1_epi32(low - 1));
    const __m256i to = _mm256_cmpgt_epi32(_mm256_set1_epi32(high), lane);
    return _mm256_and_si256(from, to);
  }
  static Reg load_range(const float* p, Range r) { return _mm256_maskload_ps(p, r); }

  static Reg load_first(const float* p, int n) { return load_range(p, range(0, n)); }
  static void store_first(float* p, Reg v, int n) { _mm256_maskstore_ps(p, range(0, n), v); }
  static constexpr bool kCompresses = false;
  static Reg compress(Reg v, uint32_t) { return v; }

  // The even elements of p[0..16), restricted to elements [low, high).
  struct EvenRange {
    __m256i lower, upper;
  };
  static EvenRange even_range(int low, int high) { return {range(low, high), range(low - 8, high - 8)}; }
  static Reg load_even(const float* p, EvenRange r) {
    const __m256 even = _mm256_shuffle_ps(_mm256_maskload_ps(p, r.lower), _mm256_maskload_ps(p + 8, r.upper), 0x88);
    return in_order(even);
  }

  // The even and the odd elements of p[0..16).
  struct Pairs {
    Reg even, odd;
  };
  static Pairs load_pairs(const float* p) {
    const Reg lower = load(p);
    const Reg upper = load(p + 8);
    return {in_order(_mm256_shuffle_ps(lower, upper, 0x88)), in_order(_mm256_shuffle_ps(lower, upper, 0xDD))};
  }

  // Lanes of two vectors in turn.
  struct Zipped {
    Reg lower, upper;
  };
  static Zipped zip(Reg even, Reg odd) {
    const Reg low = _mm256_unpacklo_ps(even, odd);
    const Reg high = _mm256_unpackhi_ps(even, odd);
    return {_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)};
  }

  // Row i of a square of vectors becomes column i.
  __attribute__((always_inline)) static void turn(Reg (&v)[kLanes]) {
    Reg a[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; i += 2) {  // pairs of floats
      a[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
      a[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; i += 4) {  // fours, in both halves
      v[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
      v[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xEE);
      v[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
      v[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xEE);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 4; ++i) {  // halves
      const Reg low = v[i];
      v[i] = _mm256_permute2f128_ps(low, v[i + 4], 0x20);
      v[i + 4] = _mm256_permute2f128_ps(low, v[i + 4], 0x31);
    }
  }

 private:
  // What a shuffle of two vectors, lane by lane, leaves in the order 0 2 1 3.
  static Reg in_order(Reg v) { return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xD8)); }
};

}  // namespace
