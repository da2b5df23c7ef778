// Element-wise steps of pooling; plain loops, which the compiler turns into vectors of this unit's instruction set.
#pragma once

#include <cstdint>

namespace {

void take_larger(const float* x, int32_t tap, float* best, int32_t* taken, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const bool newer = !(x[i] <= best[i]);  // larger, or NaN on either side
    const bool take = newer && best[i] == best[i];
    best[i] = take ? x[i] : best[i];
    taken[i] = take ? tap : taken[i];
  }
}

void add_where(const float* dy, const uint8_t* taken, uint8_t tap, float* dx, int64_t count) {
  for (int64_t i = 0; i < count; ++i) dx[i] += taken[i] == tap ? dy[i] : 0.0F;
}

void add_scaled(const float* x, float scale, float* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) y[i] += scale * x[i];
}

}  // namespace
