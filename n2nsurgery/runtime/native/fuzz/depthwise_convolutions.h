// Depthwise convolutions against plain sums over each result's taps.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <vector>

#include "depthwise.h"
#include "error.h"
#include "fuzz/draws.h"
#include "processor.h"

namespace n2n {

inline double depthwise_sum(const ConvProblem& problem, const std::vector<float>& weights,
                            const std::vector<float>& x, int64_t at) {
  const int64_t plane = at / problem.output_pixels();
  const int64_t pixel = at % problem.output_pixels();
  const int64_t taps = problem.kernel[1] * problem.kernel[2];
  double sum = 1.0;
  for (int64_t tap = 0; tap < taps; ++tap) {
    const int64_t row = pixel / problem.output[2] * problem.stride[1] - problem.pad[1] +
                        tap / problem.kernel[2] * problem.dilation[1];
    const int64_t column = pixel % problem.output[2] * problem.stride[2] - problem.pad[2] +
                           tap % problem.kernel[2] * problem.dilation[2];
    if (row < 0 || row >= problem.input[1] || column < 0 || column >= problem.input[2]) continue;
    const int64_t from = plane * problem.input_pixels() + row * problem.input[2] + column;
    sum += static_cast<double>(weights[static_cast<size_t>(plane % problem.groups * taps + tap)]) *
           x[static_cast<size_t>(from)];
  }
  return sum;
}

// A depthwise convolution against plain sums over each result's taps.
inline void run_depthwise_case(Draws& draws) {
  const int64_t channels = draws.between(1, 40);
  const std::vector<int64_t> kernel = draws.extents(2, 1, 7);
  const std::vector<int64_t> strides = draws.extents(2, 1, 3);
  const std::vector<int64_t> pads = draws.extents(4, 0, 3);
  const ConvAttributes conv = parse_depthwise_attributes(kernel, strides, pads, draws.extents(2, 1, 3), channels);
  const int64_t width = draws.extent(1, draws.chance(0.1) ? 1200 : 60);
  const ConvProblem problem = make_problem(conv, {draws.between(0, 2), channels, draws.extent(1, 60), width});
  require(problem.input_pixels() <= 1 << 16 && problem.output_pixels() <= 1 << 16, "too large for a fuzz case");
  const int64_t taps = conv.weight_shape().taps;
  require(channels * taps * problem.output_pixels() <= 1 << 21, "too large for a fuzz case");
  std::vector<float> weights(static_cast<size_t>(channels * taps));
  for (float& weight : weights) weight = draws.chance(0.5) ? draws.number() : 0.0F;
  std::vector<float> x(static_cast<size_t>(problem.batch * channels * problem.input_pixels()));
  std::vector<float> y(static_cast<size_t>(problem.batch * channels * problem.output_pixels()),
                       std::numeric_limits<float>::quiet_NaN());
  for (float& value : x) value = draws.number();
  const std::vector<float> bias(static_cast<size_t>(channels), 1.0F);
  const Kernels& kernels = select_kernels();
  const Plan plan = make_depthwise_plan(problem, kernels);
  const TapList list = list_taps(weights.data(), channels, taps);
  const DepthwiseTensors tensors{x.data(), &list, bias.data(), y.data(), {}};
  const int64_t middle = draws.between(0, problem.batch * channels);
  run_depthwise(plan, kernels, tensors, middle, problem.batch * channels);
  run_depthwise(plan, kernels, tensors, 0, middle);
  for (size_t i = 0; i < y.size(); ++i) {
    const double expected = depthwise_sum(problem, weights, x, static_cast<int64_t>(i));
    if (std::abs(expected - y[i]) <= 1e-3 * (1.0 + std::abs(expected))) continue;
    std::printf("output %zu of a depthwise convolution is %g, not %g\n", i, y[i], expected);
    std::abort();
  }
}

}  // namespace n2n
