// Convolutions with any attributes, tilings and numbers of threads, against plain loops over the weights.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "cost_model.h"
#include "executor.h"
#include "expected_input.h"
#include "fuzz/random_weights.h"
#include "fuzz/rows.h"
#include "plan.h"
#include "processor.h"

namespace n2n {

// A tiling that the plan may have, whether it is a good one or not.
inline Tiling random_tiling(Draws& draws, const ConvProblem& problem, const Kernels& kernels, bool blocks) {
  Tiling tiling;
  tiling.registers = static_cast<int>(draws.between(1, blocks ? kernels.max_block_registers : kernels.max_registers));
  const int64_t all = problem.group_inputs * problem.kernel[0];
  tiling.channels = draws.chance(0.5) ? all : std::min(all, draws.between(1, problem.group_inputs) * problem.kernel[0]);
  tiling.rows = draws.between(1, std::min<int64_t>(problem.output[1], 9));
  tiling.columns = problem.output[2];
  if (draws.chance(0.3)) tiling.columns = std::min(problem.output[2], draws.between(1, 9) * kernels.lanes);
  tiling.aligned = tiling.columns != problem.output[2] || draws.chance(0.6);
  tiling.direct = problem.pointwise() && problem.input_pixels() % kernels.lanes == 0 && draws.chance(0.5);
  if (tiling.direct) tiling.rows = 1;
  tiling.chunks = draws.between(1, 3);
  return tiling;
}

// One output by plain loops.
inline double plain(const ConvAttributes& conv, const ConvProblem& problem, const SparseWeights& weights,
                    const ConvTensors& tensors, int64_t at) {
  const int64_t pixels = problem.output_pixels();
  const int64_t output = at / pixels % conv.outputs;
  const int64_t image = at / pixels / conv.outputs;
  const int64_t pixel = at % pixels;
  const Axes place{pixel / (problem.output[1] * problem.output[2]),
                   pixel / problem.output[2] % problem.output[1], pixel % problem.output[2]};
  const int64_t first = (image * conv.groups + output / (conv.outputs / conv.groups)) * conv.group_inputs;
  double sum = tensors.bias[output];
  for (int64_t i = weights.row[output]; i < weights.row[output + 1]; ++i) {
    const int64_t tap = weights.tap[i];
    const Axes k{tap / (problem.kernel[1] * problem.kernel[2]), tap / problem.kernel[2] % problem.kernel[1],
                 tap % problem.kernel[2]};
    int64_t source = first + weights.channel[i];
    bool inside = true;
    for (size_t axis = 0; axis < 3; ++axis) {
      const int64_t from = place[axis] * problem.stride[axis] - problem.pad[axis] + k[axis] * problem.dilation[axis];
      inside = inside && from >= 0 && from < problem.input[axis];
      source = source * problem.input[axis] + from;
    }
    if (inside) sum += static_cast<double>(weights.value[i]) * tensors.x[source];
  }
  return sum;
}

// A few random outputs against plain loops; none may have been left out.
inline void compare(Draws& draws, const ConvAttributes& conv, const ConvProblem& problem,
                    const SparseWeights& weights, const ConvTensors& tensors) {
  const int64_t pixels = problem.output_pixels();
  const int64_t total = problem.batch * conv.outputs * pixels;
  for (int64_t i = 0; i < total; ++i) {
    if (!std::isnan(tensors.y[i])) continue;
    std::printf("output %lld was never written\n", static_cast<long long>(i));
    std::abort();
  }
  for (int sample = 0; sample < 50; ++sample) {
    const int64_t at = draws.between(0, total - 1);
    const double expected = plain(conv, problem, weights, tensors, at);
    if (std::abs(expected - tensors.y[at]) > 1e-3 * (1.0 + std::abs(expected))) {
      std::printf("output %lld is %g, not %g\n", static_cast<long long>(at), tensors.y[at], expected);
      std::abort();
    }
  }
}

inline void run_plan(Draws& draws, const ConvAttributes& conv, const ConvProblem& problem,
                     const SparseWeights& weights, const Plan& plan, const Kernels& kernels) {
  const auto inputs = static_cast<size_t>(problem.batch * conv.groups * conv.group_inputs * problem.input_pixels());
  const auto outputs = static_cast<size_t>(problem.batch * conv.outputs * problem.output_pixels());
  const std::unique_ptr<float[]> x(new float[inputs]);
  const std::unique_ptr<float[]> y(new float[outputs]);
  std::vector<float> bias(static_cast<size_t>(conv.outputs));
  for (size_t i = 0; i < inputs; ++i) x[i] = draws.number();
  for (float& value : bias) value = draws.number();
  std::fill_n(y.get(), outputs, std::numeric_limits<float>::quiet_NaN());
  ConvTensors tensors;
  tensors.x = x.get();
  tensors.bias = bias.data();
  tensors.y = y.get();
  tensors.batch = problem.batch;
  tensors.packed = shared_input(plan, plan.patches(problem.batch));
  for (int64_t task = 0; task < plan.tasks(problem.batch); ++task) run_conv_task(plan, kernels, tensors, task);
  compare(draws, conv, problem, weights, tensors);
}

// Claims of a shape, -1 for what they leave open: taken or not, their sizes stay countable.
inline void expect_anything(Draws& draws, const ConvAttributes& conv) {
  std::vector<int64_t> claimed = draws.extents(static_cast<size_t>(conv.spatial_rank) + 2, -1, 100);
  if (claimed.size() > 1 && draws.chance(0.9)) claimed[1] = conv.groups * conv.group_inputs;
  const std::optional<ConvProblem> expected = expected_problem(conv, claimed);
  if (expected && expected->output_pixels() * conv.outputs < 1) std::abort();
  const std::optional<int64_t> rows = expected_rows(conv.weight_shape(), claimed);
  if (rows && *rows * conv.outputs < 1) std::abort();
}

inline void run_case(Draws& draws) {
  const auto rank = static_cast<size_t>(draws.between(1, 3));
  const int64_t group = draws.chance(0.3) ? draws.extent(1, 3) : 1;
  std::vector<int64_t> weight_shape = draws.extents(rank, 1, draws.chance(0.5) ? 1 : 4);
  const int64_t group_inputs = draws.extent(1, 20);
  const bool divisible = draws.chance(0.95) && group >= 1 && group < 4;
  const int64_t outputs = divisible ? draws.between(1, 14) * group : draws.extent(1, 14);
  weight_shape.insert(weight_shape.begin(), {outputs, group_inputs});
  const bool plain = draws.chance(0.4);
  const ConvAttributes conv = parse_conv_attributes(
      weight_shape, plain ? std::vector<int64_t>{} : draws.extents(rank, 1, 3),
      plain ? std::vector<int64_t>{} : draws.extents(2 * rank, 0, 3),
      plain ? std::vector<int64_t>{} : draws.extents(rank, 1, 3), group);
  expect_anything(draws, conv);
  std::vector<int64_t> shape = draws.extents(rank, 1, rank == 1 ? 900 : rank == 2 ? 40 : 10);
  shape.insert(shape.begin(), {draws.between(1, 2), draws.chance(0.97) ? conv.group_inputs * conv.groups : 5});
  const ConvProblem problem = make_problem(conv, shape);
  require(problem.input_pixels() <= 1 << 16 && problem.output_pixels() <= 1 << 16, "too large for a fuzz case");
  const SparseWeights weights = random_weights(draws, conv.weight_shape());
  require(weights.nnz() * problem.output_pixels() <= 1 << 23, "too large for a fuzz case");
  if (weights.shape.taps == 1) {
    run_rows(draws, weights);
    run_many_rows(draws, weights);
  }
  const BlockMap blocks(weights, conv.groups);
  const Kernels& kernels = select_kernels();
  const Tiling tiling = random_tiling(draws, problem, kernels, blocks.any());
  const int64_t threads = draws.between(1, 9);
  const Plan plan = draws.chance(0.5) ? make_plan(weights, blocks, problem, kernels, threads)
                                      : make_plan(weights, blocks, problem, kernels, threads, tiling);
  run_plan(draws, conv, problem, weights, plan, kernels);
}

}  // namespace n2n
