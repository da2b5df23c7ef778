// Transposed convolutions against each input times each weight, added where it lands.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <vector>

#include "executor.h"
#include "fuzz/convolutions.h"
#include "fuzz/random_weights.h"
#include "plan.h"
#include "processor.h"
#include "transposed.h"

namespace n2n {

// Each input times each weight, added where it lands.
inline std::vector<double> scattered(const TransposedAttributes& transposed, const std::vector<int64_t>& shape,
                                     const SparseWeights& weights, const std::vector<float>& x,
                                     const Shuffle& shuffle) {
  const ConvAttributes& conv = transposed.conv;
  Axes extents{1, 1, 1};
  std::copy(shape.begin() + 2, shape.end(), extents.end() - conv.spatial_rank);
  const int64_t pixels = extents[0] * extents[1] * extents[2];
  std::vector<double> y(static_cast<size_t>(shape[0] * transposed.outputs() * shuffle.output_pixels()), 1.0);
  for (int64_t at = 0; at < static_cast<int64_t>(x.size()); ++at) {
    const int64_t input = at / pixels % conv.outputs;
    const Axes from{at % pixels / (extents[1] * extents[2]), at / extents[2] % extents[1], at % extents[2]};
    const int64_t first = at / pixels / conv.outputs * transposed.outputs() +
                          input / (conv.outputs / conv.groups) * conv.group_inputs;
    for (int64_t i = weights.row[input]; i < weights.row[input + 1]; ++i) {
      const int64_t tap = weights.tap[i];
      const Axes k{tap / (conv.kernel[1] * conv.kernel[2]), tap / conv.kernel[2] % conv.kernel[1],
                   tap % conv.kernel[2]};
      int64_t target = first + weights.channel[i];
      bool inside = true;
      for (size_t axis = 0; axis < 3; ++axis) {
        const int64_t to = from[axis] * conv.stride[axis] + k[axis] * conv.dilation[axis] - conv.pad_begin[axis];
        inside = inside && to >= 0 && to < shuffle.output[axis];
        target = target * shuffle.output[axis] + to;
      }
      if (inside) y[static_cast<size_t>(target)] += static_cast<double>(weights.value[i]) * x[static_cast<size_t>(at)];
    }
  }
  return y;
}

// A transposed convolution against plain loops over the weights.
inline void run_transposed(Draws& draws) {
  const auto rank = static_cast<size_t>(draws.between(1, 3));
  const int64_t group = draws.chance(0.3) ? draws.extent(1, 3) : 1;
  std::vector<int64_t> weight_shape = draws.extents(rank, 1, 4);
  const int64_t inputs = draws.between(1, 8) * (group > 0 && group < 4 ? group : 1);
  weight_shape.insert(weight_shape.begin(), {inputs, draws.extent(1, 8)});
  const TransposedAttributes transposed = parse_transposed_attributes(
      weight_shape, draws.extents(rank, 1, 3),
      draws.chance(0.5) ? std::vector<int64_t>{} : draws.extents(2 * rank, 0, 3),
      draws.chance(0.7) ? std::vector<int64_t>{} : draws.extents(rank, 0, 1), draws.extents(rank, 1, 2), group);
  std::vector<int64_t> shape = draws.extents(rank, 1, rank == 1 ? 300 : rank == 2 ? 30 : 8);
  shape.insert(shape.begin(), {draws.between(1, 2), draws.chance(0.97) ? transposed.conv.outputs : 5});
  const ConvProblem problem = make_problem(transposed, shape);
  const Shuffle shuffle = make_shuffle(transposed, shape);
  require(problem.input_pixels() <= 1 << 16 && problem.output_pixels() <= 1 << 16, "too large for a fuzz case");
  require(transposed.outputs() * shuffle.output_pixels() <= 1 << 20, "too large for a fuzz case");
  const SparseWeights given = random_weights(draws, transposed.conv.weight_shape());
  require(given.nnz() * problem.output_pixels() <= 1 << 22, "too large for a fuzz case");
  const SparseWeights weights = weights_of_phases(given, transposed);
  const BlockMap blocks(weights, transposed.conv.groups);
  const Kernels& kernels = select_kernels();
  const Plan plan = draws.chance(0.5) ? make_plan(weights, blocks, problem, kernels, draws.between(1, 9))
                                      : make_plan(weights, blocks, problem, kernels, draws.between(1, 9),
                                                  random_tiling(draws, problem, kernels, blocks.any()));
  std::vector<float> x(static_cast<size_t>(problem.batch * transposed.conv.outputs * problem.input_pixels()));
  std::vector<float> y(static_cast<size_t>(problem.batch * transposed.outputs() * shuffle.output_pixels()),
                       std::numeric_limits<float>::quiet_NaN());
  for (float& value : x) value = draws.number();
  const std::vector<float> bias(static_cast<size_t>(problem.groups * problem.group_outputs), 1.0F);
  ConvTensors tensors;
  tensors.x = x.data();
  tensors.bias = bias.data();
  tensors.y = y.data();
  tensors.batch = problem.batch;
  tensors.shuffle = &shuffle;
  tensors.packed = shared_input(plan, plan.patches(problem.batch));
  for (int64_t task = 0; task < plan.tasks(problem.batch); ++task) run_conv_task(plan, kernels, tensors, task);
  const std::vector<double> expected = scattered(transposed, shape, given, x, shuffle);
  for (size_t i = 0; i < y.size(); ++i) {
    if (std::abs(expected[i] - y[i]) <= 1e-3 * (1.0 + std::abs(expected[i]))) continue;
    std::printf("output %zu of a transposed convolution is %g, not %g\n", i, y[i], expected[i]);
    std::abort();
  }
}

}  // namespace n2n
