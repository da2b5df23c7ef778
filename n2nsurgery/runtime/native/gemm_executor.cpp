#include "gemm_executor.h"

#include <algorithm>
#include <vector>

#include "rounding.h"
#include "tiles.h"

namespace n2n {
namespace {

// Floats between staged outputs: an odd number of vectors, so that one vector of each does not fall on few cache sets.
int64_t staged_pitch(const Plan& plan, const Kernels& kernels) {
  return (plan.layout.packed_size / kernels.lanes | 1) * kernels.lanes;
}

}  // namespace

ConvProblem gemm_problem(const WeightShape& shape, int64_t rows) {
  ConvProblem problem;
  problem.batch = 1;
  problem.group_inputs = shape.inputs;
  problem.group_outputs = shape.outputs;
  problem.input = problem.output = Axes{1, 1, rows};
  return problem;
}

Plan make_gemm_plan(const SparseWeights& weights, const BlockMap& blocks, const Kernels& kernels, int64_t vectors,
                    int64_t chunks) {
  const ConvProblem problem = gemm_problem(weights.shape, vectors * kernels.lanes);
  Tiling tiling = choose_rows_tiling({problem, weights.nnz(), blocks.share()}, kernels, vectors);
  tiling.chunks = chunks;
  Plan plan = make_plan(weights, blocks, problem, kernels, chunks, tiling);
  for (int64_t v = 1; v <= vectors; ++v) {
    plan.row_windows.push_back(make_windows(problem, tiling, plan.layout, kernels.lanes, 1, v * kernels.lanes));
  }
  return plan;
}

namespace {

// Rows [first_row, first_row + rows) of x and their channels [first, last), turned into a packed tile.
void pack_rows(const Plan& plan, const Kernels& kernels, const GemmTensors& tensors, int64_t piece, float* tile,
               int64_t first, int64_t last) {
  const int64_t inputs = plan.problem.group_inputs;
  const int64_t pitch = plan.layout.packed_size;
  const int64_t first_row = piece * tensors.piece_rows;
  const int64_t rows = std::min(tensors.piece_rows, tensors.rows - first_row);
  float* packed = tile + first % plan.tiling.channels * pitch;
  const int64_t filled = round_up(rows, kernels.lanes);
  if (rows < filled) {
    for (int64_t c = 0; c < last - first; ++c) std::fill(packed + c * pitch + rows, packed + c * pitch + filled, 0.0F);
  }
  kernels.turn({tensors.x + first_row * inputs + first, inputs, packed, pitch, rows, last - first, nullptr, {}});
}

// Turns the outputs [low, high) of a piece, which lie staged by outputs, into rows of y, and finishes them.
void unpack_rows(const Plan& plan, const Kernels& kernels, const GemmTensors& tensors, int64_t piece,
                 const float* staged, int64_t low, int64_t high) {
  const int64_t outputs = plan.problem.group_outputs;
  const int64_t first_row = piece * tensors.piece_rows;
  const int64_t rows = std::min(tensors.piece_rows, tensors.rows - first_row);
  const int64_t at = first_row * outputs + low;
  const float* residual = tensors.residual != nullptr ? tensors.residual + at : nullptr;
  const int64_t pitch = staged_pitch(plan, kernels);
  kernels.turn({staged + low * pitch, pitch, tensors.y + at, outputs, high - low, rows, residual,
                tensors.activation});
}

void pack_gemm_part(const Plan& plan, const Kernels& kernels, const GemmTensors& tensors, int64_t number) {
  const int64_t piece = number / plan.pack_parts;
  for_part(plan, number % plan.pack_parts, [&](int64_t tile, int64_t first, int64_t last) {
    float* packed = shared_tile(plan, tensors.packed, piece, tile);
    if (first % plan.tiling.channels == 0) clear_ends(plan, packed);
    pack_rows(plan, kernels, tensors, piece, packed, first, last);
  });
}

}  // namespace

void run_gemm_task(const Plan& plan, const Kernels& kernels, const GemmTensors& tensors, int64_t number) {
  const int64_t packs = tensors.pieces() * plan.pack_parts;
  if (number < packs) return pack_gemm_part(plan, kernels, tensors, number);
  const int64_t chunk = (number - packs) % plan.tiling.chunks;
  const int64_t piece = (number - packs) / plan.tiling.chunks;
  const int64_t rows = std::min(tensors.piece_rows, tensors.rows - piece * tensors.piece_rows);
  const auto vectors = static_cast<size_t>(ceil_div(rows, kernels.lanes));
  float* partial = plan.partial_floats != 0 ? scratch().partial.floats(plan.partial_floats) : nullptr;
  float* own = plan.pack_parts != 0 ? nullptr : packed_tile(plan);
  const int64_t pitch = staged_pitch(plan, kernels);
  float* staged = scratch().staged.floats(plan.problem.group_outputs * pitch + int64_t{kMaxRegisters} * kernels.lanes);
  for (int64_t tile = 0; tile < plan.weights.tiles; ++tile) {
    const int64_t first = tile * plan.tiling.channels;
    const int64_t last = std::min(first + plan.tiling.channels, plan.problem.group_inputs);
    if (own != nullptr) pack_rows(plan, kernels, tensors, piece, own, first, last);
    ComputeJob job = tile_job(plan, 0, chunk, tile);
    job.bias = tensors.bias;
    job.y = staged;
    job.channel_stride = pitch;
    job.activation = {};
    compute_windows(plan, kernels, plan.row_windows[vectors - 1],
                    own != nullptr ? own : shared_tile(plan, tensors.packed, piece, tile), partial, job);
  }
  const int64_t low = plan.weights.bounds[static_cast<size_t>(chunk)];
  const int64_t high = plan.weights.bounds[static_cast<size_t>(chunk) + 1];
  if (low < high) unpack_rows(plan, kernels, tensors, piece, staged, low, high);
}

}  // namespace n2n
