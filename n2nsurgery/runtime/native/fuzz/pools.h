// Maxima of random windows, each against its window read element by element.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <vector>

#include "error.h"
#include "fuzz/draws.h"
#include "pool_kernel.h"
#include "processor.h"

namespace n2n {

inline float largest(const ConvProblem& problem, const float* x, int64_t at) {
  const int64_t pixel = at % problem.output_pixels();
  const float* plane = x + at / problem.output_pixels() * problem.input_pixels();
  const int64_t top = pixel / problem.output[2] * problem.stride[1] - problem.pad[1];
  const int64_t left = pixel % problem.output[2] * problem.stride[2] - problem.pad[2];
  float best = std::numeric_limits<float>::lowest();
  for (int64_t tap = 0; tap < problem.kernel[1] * problem.kernel[2]; ++tap) {
    const int64_t row = top + tap / problem.kernel[2];
    const int64_t column = left + tap % problem.kernel[2];
    const bool inside = row >= 0 && row < problem.input[1] && column >= 0 && column < problem.input[2];
    if (inside) best = std::max(best, plane[row * problem.input[2] + column]);
  }
  return best;
}

// The maxima of random windows over a few channels, each against its window read element by element.
inline void run_windows(Draws& draws) {
  const std::vector<int64_t> kernel = draws.extents(2, 1, 5);
  const std::vector<int64_t> strides = draws.extents(2, 1, 3);
  const ConvAttributes window = parse_pool_attributes(kernel, strides, draws.extents(4, 0, 2));
  const ConvProblem problem = make_problem(window, {draws.between(0, 3), 1, draws.extent(1, 70), draws.extent(1, 70)});
  require(problem.input_pixels() <= 1 << 16 && problem.output_pixels() <= 1 << 16, "too large for a fuzz case");
  std::vector<float> x(static_cast<size_t>(problem.batch * problem.input_pixels()));
  std::vector<float> y(static_cast<size_t>(problem.batch * problem.output_pixels()));
  for (float& value : x) value = draws.number();
  const int64_t middle = draws.between(0, problem.batch);
  run_pool(problem, select_kernels(), x.data(), y.data(), 0, middle);
  run_pool(problem, select_kernels(), x.data(), y.data(), middle, problem.batch);
  for (size_t i = 0; i < y.size(); ++i) {
    if (y[i] != largest(problem, x.data(), static_cast<int64_t>(i))) std::abort();
  }
}

}  // namespace n2n
