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
