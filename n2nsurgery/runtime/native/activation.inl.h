// Activations of whole vectors. NaN stays NaN in all of them, and x * 0 at an infinite x is NaN, as in ONNX Runtime.
//
// The results of HardSwish, SiLU and GELU are within 2e-7 * |x| of the exact ones, about three units in x's last place;
// the others are exact. Included by each instruction set's translation unit after its Simd; everything has internal
// linkage.
#pragma once

#include "activation.h"
#include "curve_tables.h"

namespace {

using n2n::Activation;
using n2n::Curve;

// Below -t = -88 the result is 0; the exact one is no normal number there.
constexpr float kLastExponent = 88.0F;
// A float of this size ends at the units, so that adding it rounds to an integer.
constexpr float kRounder = 12582912.0F;

// e^-t for t >= 0, within 1e-7 of it: 2^n times the exponential series of what is left, at most ln(2) / 2.
inline Simd::Reg exp_of_minus(Simd::Reg t) {
  constexpr float kLog2E = 1.44269504F;
  constexpr float kLn2High = 0.693359375F;  // so short that its products with integers are exact
  constexpr float kLn2Low = -2.12194440e-4F;
  constexpr float kSeries[] = {1.0F / 5040, 1.0F / 720, 1.0F / 120, 1.0F / 24, 1.0F / 6, 0.5F, 1.0F, 1.0F};
  t = Simd::at_most(Simd::broadcast(kLastExponent), t);
  const Simd::Reg rounder = Simd::broadcast(kRounder);
  const Simd::Reg shifted = Simd::fma(Simd::broadcast(-kLog2E), t, rounder);
  const Simd::Reg n = Simd::subtract(shifted, rounder);
  Simd::Reg rest = Simd::fma(n, Simd::broadcast(-kLn2High), Simd::subtract(Simd::zero(), t));
  rest = Simd::fma(n, Simd::broadcast(-kLn2Low), rest);
  Simd::Reg power = Simd::broadcast(kSeries[0]);
  for (int i = 1; i < 8; ++i) power = Simd::fma(power, rest, Simd::broadcast(kSeries[i]));
  return Simd::multiply(power, Simd::power_of_two(shifted));
}

inline Simd::Reg magnitude(Simd::Reg x) { return Simd::at_least(Simd::subtract(Simd::zero(), x), x); }

// The table's function at x, where f(-a) = 1 - f(a); minus infinity gives 0.
template <class S, int Degree>
inline typename S::Reg looked_up(const n2n::CurveTable<Degree>& table, typename S::Reg x) {
  const auto steps = S::broadcast(table.per_unit);
  const auto rounder = S::broadcast(kRounder);
  const auto a = S::at_most(S::broadcast(table.kLast / table.per_unit), magnitude(x));
  const auto place = S::fma(steps, a, rounder);  // its low bits
  const auto u = S::fma(steps, a, S::subtract(rounder, place));
  auto sum = S::lookup(table.power[Degree], place);
#pragma GCC unroll 16
  for (int d = Degree - 1; d >= 0; --d) sum = S::fma(sum, u, S::lookup(table.power[d], place));
  return S::add(S::broadcast(0.5F), S::flip_where_negative(x, sum));
}

// 1 + e^-x: 2^n times a root of 2 and the exponential series of what is left, at most ln(2) / 64.
template <class S>
inline typename S::Reg one_plus_exp_of_minus(typename S::Reg x) {
  constexpr float kBound = 104.0F;  // beyond it e^-x is infinite or 0
  constexpr float kLog2E = 1.44269504F;
  constexpr float kLn2 = 0.693147181F;
  const auto rounder = S::broadcast(kRounder / 32);  // ends at the 32nds
  const auto minus_log2 = S::broadcast(-kLog2E);
  const auto t = S::at_most(S::broadcast(kBound), S::at_least(S::broadcast(-kBound), x));
  const auto shifted = S::fma(minus_log2, t, rounder);
  const auto n = S::subtract(shifted, rounder);
  const auto rest = S::fma(minus_log2, t, S::subtract(S::zero(), n));
  const auto root = S::lookup(n2n::kRootsOfTwo, shifted);
  const auto series = S::multiply(rest, S::fma(S::broadcast(kLn2 * kLn2 / 2), rest, S::broadcast(kLn2)));
  return S::add(S::broadcast(1.0F), S::times_power_of_two(S::fma(root, series, root), n));
}

// factor / (1 + e^-x)
template <class S = Simd>
inline Simd::Reg times_logistic(Simd::Reg factor, Simd::Reg x) {
  if constexpr (S::kLooksUp) return S::divide(factor, one_plus_exp_of_minus<S>(x));
  const Simd::Reg one = Simd::broadcast(1.0F);
  const Simd::Reg power = exp_of_minus(magnitude(x));
  return Simd::multiply(factor, Simd::divide(Simd::where_negative(x, power, one), Simd::add(one, power)));
}

// The normal distribution function. For a = |x| its tail is exp(-a Q(a)) / 2, with Q a polynomial that was fitted for
// a <= 6 and grows beyond.
template <class S = Simd>
inline Simd::Reg normal(Simd::Reg x) {
  if constexpr (S::kLooksUp) return looked_up<S>(n2n::kNormalTable, x);
  constexpr float kTail[] = {1.5396684815982553e-08F, -4.803982847079169e-07F, 6.399722678906983e-06F,
                             -4.616011938196607e-05F, 0.00017084786668419838F, 4.672627983381972e-05F,
                             -0.0048712436109781265F, 0.036386556923389435F,   0.318295955657959F,
                             0.7978858351707458F};
  const Simd::Reg a = magnitude(x);
  Simd::Reg q = Simd::broadcast(kTail[0]);
  for (int i = 1; i < 10; ++i) q = Simd::fma(q, a, Simd::broadcast(kTail[i]));
  const Simd::Reg half = Simd::broadcast(0.5F);
  const Simd::Reg tail = Simd::multiply(half, exp_of_minus(Simd::multiply(a, q)));
  return Simd::where_negative(x, tail, Simd::subtract(Simd::broadcast(1.0F), tail));
}

inline Simd::Reg bounded(Simd::Reg low, Simd::Reg high, Simd::Reg x) {
  return Simd::at_most(high, Simd::at_least(low, x));
}

inline Simd::Reg hard_swish(Simd::Reg x) {
  const Simd::Reg line = Simd::fma(Simd::broadcast(1.0F / 6.0F), x, Simd::broadcast(0.5F));
  return Simd::multiply(x, bounded(Simd::zero(), Simd::broadcast(1.0F), line));
}

inline Simd::Reg silu(Simd::Reg x) { return times_logistic(x, x); }

inline Simd::Reg gelu(Simd::Reg x) { return Simd::multiply(x, normal(x)); }

// (1 + tanh(u)) / 2 = logistic(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
inline Simd::Reg tanh_gelu(Simd::Reg x) {
  constexpr float kTwice = 1.5957691216F;
  const Simd::Reg square = Simd::multiply(x, x);
  const Simd::Reg factor = Simd::fma(Simd::broadcast(kTwice * 0.044715F), square, Simd::broadcast(kTwice));
  return times_logistic(x, Simd::multiply(x, factor));
}

template <class Function>
inline void each(float* values, int64_t vectors, const Function& function) {
  for (int64_t i = 0; i < vectors; ++i, values += Simd::kLanes) Simd::store(values, function(Simd::load(values)));
}

// Kept out of the kernels, of which there are many: a call for some vectors costs little beside what it computes.
__attribute__((noinline)) void activate_vectors(const Activation& activation, float* values, int64_t vectors) {
  switch (activation.curve) {
    case Curve::kLeakyRelu: {
      const Simd::Reg slope = Simd::broadcast(activation.slope);
      return each(values, vectors,
                  [&](Simd::Reg x) { return Simd::where_negative(x, Simd::multiply(slope, x), x); });
    }
    case Curve::kHardSwish: return each(values, vectors, hard_swish);
    case Curve::kSilu: return each(values, vectors, silu);
    case Curve::kGelu: return each(values, vectors, gelu);
    case Curve::kTanhGelu: return each(values, vectors, tanh_gelu);
    default: return;
  }
}

// Results while they are in registers.
template <int N>
inline __attribute__((always_inline)) void activate_registers(const Activation& activation, Simd::Reg (&v)[N]) {
  if (activation.curve == Curve::kNone) return;
  if (activation.curve == Curve::kRelu) {
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) v[i] = Simd::at_least(Simd::zero(), v[i]);
    return;
  }
  if (activation.curve == Curve::kClip) {
    const Simd::Reg low = Simd::broadcast(activation.low);
    const Simd::Reg high = Simd::broadcast(activation.high);
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) v[i] = bounded(low, high, v[i]);
    return;
  }
  float held[N * Simd::kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) Simd::store(held + i * Simd::kLanes, v[i]);
  activate_vectors(activation, held, N);
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) v[i] = Simd::load(held + i * Simd::kLanes);
}

void activate(const Activation& activation, float* values, int64_t count) {
  int64_t i = 0;
  if (activation.curve > Curve::kClip) {
    activate_vectors(activation, values, count / Simd::kLanes);
    i = count / Simd::kLanes * Simd::kLanes;
  }
  for (; i < count; i += Simd::kLanes) {
    const int lanes = static_cast<int>(count - i < Simd::kLanes ? count - i : Simd::kLanes);
    Simd::Reg v[1] = {Simd::load_first(values + i, lanes)};
    activate_registers<1>(activation, v);
    Simd::store_first(values + i, v[0], lanes);
  }
}

}  // namespace
