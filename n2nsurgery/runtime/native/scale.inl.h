// A factor and a summand for every channel. See ScaleJob. Included after a Simd and the activations; everything has
// internal linkage.
#pragma once

#include "kernels.h"

namespace {

using n2n::ScaleJob;

// R neighbouring vectors, each read before it is written: the result may take the input's place.
template <int R>
N2N_INLINE void scale_vectors(const ScaleJob& job, Simd::Reg factor, Simd::Reg summand, const float* x, float* y) {
  Simd::Reg v[R];
  N2N_UNROLL
  for (int r = 0; r < R; ++r) v[r] = Simd::fma(factor, Simd::load(x + r * Simd::kLanes), summand);
  activate_registers<R>(job.activation, v);
  N2N_UNROLL
  for (int r = 0; r < R; ++r) Simd::store(y + r * Simd::kLanes, v[r]);
}

void scale(const ScaleJob& job) {
  constexpr int kMany = 4;
  const float* x = job.x;
  float* y = job.y;
  for (int64_t channel = 0; channel < job.channels; ++channel, x += job.pixels, y += job.pixels) {
    const Simd::Reg factor = Simd::broadcast(job.factor[channel]);
    // minus zero changes no product, not even its sign
    const Simd::Reg summand = Simd::broadcast(job.summand == nullptr ? -0.0F : job.summand[channel]);
    int64_t i = 0;
    for (; i + kMany * Simd::kLanes <= job.pixels; i += kMany * Simd::kLanes) {
      scale_vectors<kMany>(job, factor, summand, x + i, y + i);
    }
    for (; i + Simd::kLanes <= job.pixels; i += Simd::kLanes) scale_vectors<1>(job, factor, summand, x + i, y + i);
    if (i == job.pixels) continue;
    const int rest = static_cast<int>(job.pixels - i);
    Simd::Reg v[1] = {Simd::fma(factor, Simd::load_first(x + i, rest), summand)};
    activate_registers<1>(job.activation, v);
    Simd::store_first(y + i, v[0], rest);
  }
}

}  // namespace
