#include "plan.h"

#include <algorithm>

#include "error.h"
#include "rounding.h"

namespace n2n {
namespace {

constexpr int64_t kPackTasks = 3;  // of one image for each thread: the last to finish keeps the others waiting

// Never zero: a last piece that is not cut off is a whole one.
int64_t last_piece(int64_t extent, int64_t piece) {
  const int64_t rest = extent % piece;
  return rest == 0 ? piece : rest;
}

}  // namespace

Plan make_plan(const SparseWeights& weights, const BlockMap& blocks, const ConvProblem& problem, const Kernels& kernels,
               int64_t threads) {
  const Tiling tiling = choose_tiling({problem, weights.nnz(), blocks.share(), threads}, kernels);
  return make_plan(weights, blocks, problem, kernels, threads, tiling);
}

Plan make_plan(const SparseWeights& weights, const BlockMap& blocks, const ConvProblem& problem, const Kernels& kernels,
               int64_t threads, const Tiling& tiling) {
  Plan plan;
  plan.problem = problem;
  plan.tiling = tiling;
  plan.layout = make_layout(problem, tiling, kernels.lanes);
  require(offsets_fit(plan.layout, tiling, kernels.lanes), "the tiling's offsets do not fit 16 bits");
  require(tiling.direct || plan.layout.pitch <= int64_t{kMaxRowVectors} * kernels.lanes,
          "the tiling's packed rows are too long");
  plan.weights = pack_weights(weights, blocks, problem, tiling, plan.layout, kernels.lanes);
  plan.patch_rows = ceil_div(problem.output[1], tiling.rows);
  plan.patch_columns = ceil_div(problem.output[2], tiling.columns);
  const int64_t last_rows = last_piece(problem.output[1], tiling.rows);
  const int64_t last_columns = last_piece(problem.output[2], tiling.columns);
  int64_t vectors = 0;
  for (const int last_row : {0, 1}) {
    for (const int last_column : {0, 1}) {
      std::vector<Window>& windows = plan.windows[last_row][last_column];
      windows = make_windows(problem, tiling, plan.layout, kernels.lanes, last_row != 0 ? last_rows : tiling.rows,
                             last_column != 0 ? last_columns : tiling.columns);
      int64_t total = 0;
      for (const Window& window : windows) total += window.registers;
      vectors = std::max(vectors, total);
    }
  }
  // Loads of the last window run past the last packed channel by less than a window.
  if (!tiling.direct) {
    plan.packed_floats = plan.layout.lead + tiling.channels * plan.layout.packed_size +
                         int64_t{kMaxRegisters + 1} * kernels.lanes;
  }
  if (!tiling.direct && tiling.chunks > 1) {
    const int64_t channels = problem.group_inputs * problem.kernel[0];
    plan.pack_parts = std::min(channels, ceil_div(kPackTasks * threads, plan.patches(1)));
  }
  if (plan.weights.tiles > 1) plan.partial_floats = problem.group_outputs * vectors * kernels.lanes;
  return plan;
}

}  // namespace n2n
