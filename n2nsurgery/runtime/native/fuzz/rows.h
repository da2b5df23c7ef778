// Linear layers of one row and of many rows, against plain sums.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "fuzz/draws.h"
#include "gemm_executor.h"
#include "plan.h"
#include "processor.h"
#include "row_product.h"

namespace n2n {

// One row of a linear layer with these weights against plain sums.
inline void run_rows(Draws& draws, const SparseWeights& weights) {
  std::vector<float> x(static_cast<size_t>(weights.shape.inputs));
  std::vector<float> y(static_cast<size_t>(weights.shape.outputs));
  const std::vector<float> bias(y.size(), 1.0F);
  for (float& value : x) value = draws.number();
  GemmTensors tensors;
  tensors.x = x.data();
  tensors.bias = bias.data();
  tensors.y = y.data();
  run_gemm_row(weights, ShortInputs(weights), select_kernels(), tensors, 0, 0, weights.shape.outputs);
  for (size_t o = 0; o < y.size(); ++o) {
    double sum = 1.0;
    for (auto i = static_cast<size_t>(weights.row[o]); i < static_cast<size_t>(weights.row[o + 1]); ++i) {
      sum += static_cast<double>(weights.value[i]) * x[static_cast<size_t>(weights.channel[i])];
    }
    if (std::abs(sum - y[o]) <= 1e-3 * (1.0 + std::abs(sum))) continue;
    std::printf("row product %zu is %g, not %g\n", o, y[o], sum);
    std::abort();
  }
}

// Many rows of a linear layer, cut anyhow, against each row alone: equal but for the order of the sums.
inline void run_many_rows(Draws& draws, const SparseWeights& weights) {
  const Kernels& kernels = select_kernels();
  const BlockMap blocks(weights, 1);
  const int64_t vectors = draws.between(1, blocks.any() ? kernels.max_block_registers : kernels.max_registers);
  const Plan plan = make_gemm_plan(weights, blocks, kernels, vectors, draws.between(1, 5));
  const int64_t rows = draws.between(1, 100);
  const auto inputs = static_cast<size_t>(weights.shape.inputs);
  const auto outputs = static_cast<size_t>(weights.shape.outputs);
  std::vector<float> x(static_cast<size_t>(rows) * inputs);
  std::vector<float> residual(static_cast<size_t>(rows) * outputs);
  std::vector<float> y(residual.size());
  std::vector<float> alone(residual.size());
  for (float& value : x) value = draws.number();
  for (float& value : residual) value = draws.number();
  const std::vector<float> bias(outputs, 1.0F);
  GemmTensors tensors;
  tensors.x = x.data();
  tensors.bias = bias.data();
  tensors.residual = draws.chance(0.5) ? residual.data() : nullptr;
  tensors.activation = {static_cast<Curve>(draws.between(0, kCurves - 1)), -0.5F, 1.5F, 0.1F};
  tensors.y = alone.data();
  for (int64_t row = 0; row < rows; ++row) {
    run_gemm_row(weights, ShortInputs(weights), kernels, tensors, row, 0, weights.shape.outputs);
  }
  tensors.y = y.data();
  tensors.rows = rows;
  tensors.piece_rows = draws.between(1, vectors) * kernels.lanes;
  tensors.packed = shared_input(plan, tensors.pieces());
  const int64_t tasks = tensors.pieces() * (plan.pack_parts + plan.tiling.chunks);
  for (int64_t task = 0; task < tasks; ++task) run_gemm_task(plan, kernels, tensors, task);
  for (size_t i = 0; i < y.size(); ++i) {
    if (std::isnan(alone[i]) || std::abs(alone[i] - y[i]) <= 1e-3F * (1.0F + std::abs(alone[i]))) continue;
    std::printf("value %zu of many rows is %g, not %g\n", i, y[i], alone[i]);
    std::abort();
  }
}

}  // namespace n2n
