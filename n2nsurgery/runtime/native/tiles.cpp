#include "tiles.h"

namespace n2n {

Scratch& scratch() {
  static thread_local Scratch buffers;
  return buffers;
}

void prepare_scratch(const Plan& plan) {
  std::fill_n(scratch().packed.floats(plan.packed_floats), plan.packed_floats, 0.0F);
  std::fill_n(scratch().partial.floats(plan.partial_floats), plan.partial_floats, 0.0F);
}

float* shared_input(const Plan& plan, int64_t patches) {
  if (plan.pack_parts == 0) return nullptr;
  return scratch().shared.floats(patches * plan.weights.tiles * plan.packed_floats);
}

void clear_ends(const Plan& plan, float* packed) {
  std::fill_n(packed, plan.layout.lead, 0.0F);
  const int64_t end = plan.layout.lead + plan.tiling.channels * plan.layout.packed_size;
  std::fill(packed + end, packed + plan.packed_floats, 0.0F);
}

float* packed_tile(const Plan& plan) {
  float* packed = scratch().packed.floats(plan.packed_floats);
  clear_ends(plan, packed);
  return packed;
}

float* shared_tile(const Plan& plan, float* shared, int64_t patch, int64_t tile) {
  return shared + (patch * plan.weights.tiles + tile) * plan.packed_floats;
}

void pack_patch(const Plan& plan, const Kernels& kernels, const Axes& patch, const float* image, float* tile,
                int64_t first, int64_t last) {
  const ConvProblem& problem = plan.problem;
  constexpr size_t kMaxPlanes = 64;
  int64_t plane_column[kMaxPlanes];
  const size_t planes = plan.layout.plane_phase.size();
  PackJob job{};
  job.image = image;
  job.packed = tile + plan.layout.lead + first % plan.tiling.channels * plan.layout.packed_size;
  job.first = first;
  job.last = last;
  job.plane_size = problem.input[1] * problem.input[2];
  job.channel_size = problem.input_pixels();
  job.depth_taps = problem.kernel[0];
  job.depth_dilation = problem.dilation[0];
  job.depth_begin = patch[0] * problem.stride[0] - problem.pad[0];
  job.depth = problem.input[0];
  job.height = problem.input[1];
  job.width = problem.input[2];
  job.column_stride = problem.stride[2];
  job.rows = static_cast<int64_t>(plan.layout.row.size());
  job.row = plan.layout.row.data();
  job.row_base = patch[1] * plan.tiling.rows * problem.stride[1];
  job.pitch = plan.layout.pitch;
  job.packed_size = plan.layout.packed_size;
  job.plane_used = plan.layout.plane_used.data();
  std::vector<int64_t> many;
  int64_t* columns = plane_column;
  if (planes > kMaxPlanes) {
    many.resize(planes);
    columns = many.data();
  }
  for (size_t i = 0; i < planes; ++i) {
    columns[i] = (patch[2] * plan.tiling.columns + plan.layout.plane_origin[i]) * problem.stride[2] +
                 plan.layout.plane_phase[i];
  }
  job.planes = static_cast<int64_t>(planes);
  job.plane_column = columns;
  kernels.pack(job);
}

ComputeJob tile_job(const Plan& plan, int64_t group, int64_t chunk, int64_t tile) {
  const PackedWeights& weights = plan.weights;
  const PackedWeights::Segment& segment = weights.segment(group, tile, chunk);
  ComputeJob job{};
  job.records = weights.records.get();
  job.runs = weights.runs.data() + segment.run;
  job.run_count = segment.run_count;
  job.block_records = weights.block_records.get();
  job.block_runs = weights.block_runs.data() + segment.block_run;
  job.block_run_count = segment.block_run_count;
  job.channels = weights.channels.data();
  job.block_channels = weights.block_channels.data();
  job.first_tile = tile == 0;
  job.last_tile = tile + 1 == weights.tiles;
  job.scaled = plan.layout.scaled;
  return job;
}

void compute_windows(const Plan& plan, const Kernels& kernels, const std::vector<Window>& windows, const float* tile,
                     float* partial, ComputeJob job) {
  for (const Window& window : windows) {
    job.x = tile + window.first_vector * kernels.lanes;
    job.partial = partial;
    job.targets = window.targets;
    job.registers = window.registers;
    job.contiguous = window.contiguous;
    kernels.compute(job);
    if (partial != nullptr) partial += plan.problem.group_outputs * window.registers * kernels.lanes;
  }
}

}  // namespace n2n
