// Vectors of 4 floats through the compiler's vector extension (plain code anywhere), with NEON's fused multiply-add by
// element where that is the target.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

struct Simd {
  static constexpr int kLanes = 4;
#if defined(__aarch64__)
  static constexpr int kMaxRegisters = 16;
  static constexpr int kMaxBlockRegisters = 6;
#else
  static constexpr int kMaxRegisters = 12;
  static constexpr int kMaxBlockRegisters = 3;
#endif
  typedef float Reg __attribute__((vector_size(16)));  // NOLINT(modernize-use-using): the attribute needs a typedef

  static Reg zero() { return Reg{}; }
  static Reg broadcast(float v) { return Reg{v, v, v, v}; }
  static Reg load(const float* p) {
    Reg v;
    std::memcpy(&v, p, sizeof(v));
    return v;
  }
  static void store(float* p, Reg v) { std::memcpy(p, &v, sizeof(v)); }
  static Reg add(Reg a, Reg b) { return a + b; }
#if defined(__aarch64__)
  static Reg fma(Reg w, Reg x, Reg sum) { return reinterpret_cast<Reg>(vfmaq_f32(sum, w, x)); }
#else
  static Reg fma(Reg w, Reg x, Reg sum) { return sum + w * x; }
#endif
  static Reg at_least(Reg floor, Reg v) {  // NaN in v stays NaN
    return v < floor ? floor : v;
  }
  static Reg at_most(Reg ceiling, Reg v) {  // as well
    return v > ceiling ? ceiling : v;
  }
  static Reg subtract(Reg a, Reg b) { return a - b; }
  static Reg multiply(Reg a, Reg b) { return a * b; }
  static Reg divide(Reg a, Reg b) { return a / b; }
  static Reg where_negative(Reg x, Reg then, Reg otherwise) { return x < zero() ? then : otherwise; }
  // 2^n, where v is n plus a float that ends at the units; -127, the least n, gives 0.
  static Reg power_of_two(Reg v) {
    typedef uint32_t Bits __attribute__((vector_size(16)));  // NOLINT(modernize-use-using): as above
    return reinterpret_cast<Reg>((reinterpret_cast<Bits>(v) + 127U) << 23U);
  }

  static constexpr bool kLooksUp = false;

  static Reg quad(const float* p) { return load(p); }
  template <int J>
  static Reg weight(Reg quad) {
    return broadcast(quad[J]);
  }

  struct Range {
    int low, high;
  };
  static Range range(int low, int high) { return {low < 0 ? 0 : low, high > 4 ? 4 : high}; }
  // Lanes [low, high) of p; memory outside is not touched, the other lanes are zero.
  static Reg load_range(const float* p, Range r) {
    if (r.low == 0 && r.high == 4) return load(p);
    Reg v{};
    for (int i = r.low; i < r.high; ++i) v[i] = p[i];
    return v;
  }
  static Reg load_first(const float* p, int n) { return load_range(p, {0, n}); }
  static void store_first(float* p, Reg v, int n) {
    for (int i = 0; i < n; ++i) p[i] = v[i];
  }
  static constexpr bool kCompresses = false;
  static Reg compress(Reg v, uint32_t) { return v; }

  // The even elements of p[0..8), restricted to elements [low, high).
  using EvenRange = Range;
  static EvenRange even_range(int low, int high) { return {low < 0 ? 0 : low, high > 8 ? 8 : high}; }
  static Reg load_even(const float* p, EvenRange r) {
    Reg v{};
    for (int i = (r.low + 1) / 2; 2 * i < r.high; ++i) v[i] = p[2 * i];
    return v;
  }

  // The even and the odd elements of p[0..8).
  struct Pairs {
    Reg even, odd;
  };
  static Pairs load_pairs(const float* p) {
    const Reg lower = load(p);
    const Reg upper = load(p + 4);
    return {__builtin_shufflevector(lower, upper, 0, 2, 4, 6), __builtin_shufflevector(lower, upper, 1, 3, 5, 7)};
  }

  // Lanes of two vectors in turn.
  struct Zipped {
    Reg lower, upper;
  };
  static Zipped zip(Reg even, Reg odd) {
    return {__builtin_shufflevector(even, odd, 0, 4, 1, 5), __builtin_shufflevector(even, odd, 2, 6, 3, 7)};
  }

  // Row i of a square of vectors becomes column i.
  static void turn(Reg (&v)[kLanes]) {
    const Reg low = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5);
    const Reg high = __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7);
    const Reg other_low = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5);
    const Reg other_high = __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
    v[0] = __builtin_shufflevector(low, other_low, 0, 1, 4, 5);
    v[1] = __builtin_shufflevector(low, other_low, 2, 3, 6, 7);
    v[2] = __builtin_shufflevector(high, other_high, 0, 1, 4, 5);
    v[3] = __builtin_shufflevector(high, other_high, 2, 3, 6, 7);
  }
};

}  // namespace
