// A factor and a summand for every channel, against one value at a time.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "fuzz/draws.h"
#include "kernels.h"
#include "processor.h"

namespace n2n {

// The activations that are exact.
inline double finished(const Activation& activation, double value) {
  if (activation.curve == Curve::kRelu) return std::max(value, 0.0);
  if (activation.curve == Curve::kClip) return std::clamp<double>(value, activation.low, activation.high);
  if (activation.curve == Curve::kLeakyRelu) return value < 0.0 ? value * activation.slope : value;
  return value;
}

// Random planes, whose results may take their place; without summands it is a gate.
inline void run_scales(Draws& draws) {
  const auto channels = static_cast<size_t>(draws.between(0, 20));
  const auto pixels = static_cast<size_t>(draws.between(0, 150));
  std::vector<float> x(channels * pixels);
  std::vector<float> factor(channels);
  std::vector<float> summand(channels);
  for (std::vector<float>* values : {&x, &factor, &summand}) {
    for (float& value : *values) value = draws.number();
  }
  const bool gate = draws.chance(0.3);
  const Activation activation{gate ? Curve::kNone : static_cast<Curve>(draws.between(0, 3)), -0.5F, 1.5F, 0.1F};
  std::vector<float> y = x;
  const float* source = draws.chance(0.5) ? y.data() : x.data();
  select_kernels().scale({source, y.data(), factor.data(), gate ? nullptr : summand.data(),
                          static_cast<int64_t>(channels), static_cast<int64_t>(pixels), activation});
  for (size_t i = 0; i < y.size(); ++i) {
    const double product = static_cast<double>(factor[i / pixels]) * x[i];
    const double expected = finished(activation, gate ? product : product + summand[i / pixels]);
    if (std::isnan(expected) || std::abs(expected - y[i]) <= 1e-5 * (1.0 + std::abs(product))) continue;
    std::printf("scaled value %zu is %g, not %g\n", i, y[i], expected);
    std::abort();
  }
}

}  // namespace n2n
