#include "executor.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "aligned_buffer.h"
#include "finished.h"

namespace n2n {
namespace {

struct Scratch {
  AlignedBuffer packed;
  AlignedBuffer partial;
  AlignedBuffer staged;
};

Scratch& scratch() {
  static thread_local Scratch buffers;
  return buffers;
}

float floor_of(bool relu) { return relu ? 0.0F : -std::numeric_limits<float>::infinity(); }

// A task's number, taken apart. Chunks vary fastest, then patches, groups and images.
struct Task {
  int64_t chunk, patch_column, patch_row, slice, group, image;
};

Task locate(const Plan& plan, int64_t number) {
  const auto take = [&number](int64_t extent) {
    const int64_t index = number % extent;
    number /= extent;
    return index;
  };
  Task task{};
  task.chunk = take(plan.weights.chunks);
  task.patch_column = take(plan.patch_columns);
  task.patch_row = take(plan.patch_rows);
  task.slice = take(plan.problem.output[0]);
  task.group = take(plan.problem.groups);
  task.image = number;
  return task;
}

const std::vector<Window>& windows_of(const Plan& plan, const Task& task) {
  return plan.windows[task.patch_row + 1 == plan.patch_rows ? 1 : 0][task.patch_column + 1 == plan.patch_columns ? 1 : 0];
}

// The scratch for packed tiles, with the zeros that precede and follow them.
float* packed_tile(const Plan& plan) {
  float* packed = scratch().packed.floats(plan.packed_floats);
  std::fill_n(packed, plan.layout.lead, 0.0F);
  const int64_t end = plan.layout.lead + plan.tiling.channels * plan.layout.packed_size;
  std::fill(packed + end, packed + plan.packed_floats, 0.0F);
  return packed;
}

// What of a job is the same for all windows of one tile.
ComputeJob tile_job(const Plan& plan, const Task& task, int64_t tile) {
  const PackedWeights& weights = plan.weights;
  const PackedWeights::Segment& segment = weights.segment(task.group, tile, task.chunk);
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

void pack_tile(const Plan& plan, const Kernels& kernels, const Task& task, const float* image, int64_t tile,
               float* packed) {
  const ConvProblem& problem = plan.problem;
  constexpr size_t kMaxPlanes = 64;
  int64_t plane_column[kMaxPlanes];
  const size_t planes = plan.layout.plane_phase.size();
  PackJob job{};
  job.image = image;
  job.packed = packed + plan.layout.lead;
  job.first = tile * plan.tiling.channels;
  job.last = std::min(job.first + plan.tiling.channels, problem.group_inputs * problem.kernel[0]);
  job.plane_size = problem.input[1] * problem.input[2];
  job.channel_size = problem.input_pixels();
  job.depth_taps = problem.kernel[0];
  job.depth_dilation = problem.dilation[0];
  job.depth_begin = task.slice * problem.stride[0] - problem.pad[0];
  job.depth = problem.input[0];
  job.height = problem.input[1];
  job.width = problem.input[2];
  job.column_stride = problem.stride[2];
  job.rows = static_cast<int64_t>(plan.layout.row.size());
  job.row = plan.layout.row.data();
  job.row_base = task.patch_row * plan.tiling.rows * problem.stride[1];
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
    columns[i] = (task.patch_column * plan.tiling.columns + plan.layout.plane_origin[i]) * problem.stride[2] +
                 plan.layout.plane_phase[i];
  }
  job.planes = static_cast<int64_t>(planes);
  job.plane_column = columns;
  kernels.pack(job);
}

}  // namespace

void prepare_scratch(const Plan& plan) {
  std::fill_n(scratch().packed.floats(plan.packed_floats), plan.packed_floats, 0.0F);
  std::fill_n(scratch().partial.floats(plan.partial_floats), plan.partial_floats, 0.0F);
}

void run_conv_task(const Plan& plan, const Kernels& kernels, const ConvTensors& tensors, int64_t number) {
  const Task task = locate(plan, number);
  const ConvProblem& problem = plan.problem;
  const int64_t pixels = problem.output_pixels();
  const int64_t group = task.image * problem.groups + task.group;
  const float* image = tensors.x + group * problem.group_inputs * problem.input_pixels();
  const int64_t origin = (task.slice * problem.output[1] + task.patch_row * plan.tiling.rows) * problem.output[2] +
                         task.patch_column * plan.tiling.columns;
  const int64_t output = group * problem.group_outputs * pixels + origin;
  const std::vector<Window>& windows = windows_of(plan, task);
  float* partial = plan.partial_floats != 0 ? scratch().partial.floats(plan.partial_floats) : nullptr;
  float* packed = plan.tiling.direct ? nullptr : packed_tile(plan);
  for (int64_t tile = 0; tile < plan.weights.tiles; ++tile) {
    ComputeJob job = tile_job(plan, task, tile);
    job.bias = tensors.bias + task.group * problem.group_outputs;
    job.residual = tensors.residual != nullptr ? tensors.residual + output : nullptr;
    job.y = tensors.y + output;
    job.channel_stride = pixels;
    job.floor = floor_of(tensors.relu);
    if (plan.tiling.direct) {
      const float* x = image + tile * plan.tiling.channels * problem.input_pixels() + origin;
      compute_windows(plan, kernels, windows, x, partial, job);
    } else {
      pack_tile(plan, kernels, task, image, tile, packed);
      compute_windows(plan, kernels, windows, packed, partial, job);
    }
  }
}

ConvProblem gemm_problem(const WeightShape& shape, int64_t rows) {
  ConvProblem problem;
  problem.batch = 1;
  problem.group_inputs = shape.inputs;
  problem.group_outputs = shape.outputs;
  problem.input = problem.output = Axes{1, 1, rows};
  return problem;
}

void run_gemm_task(const Plan& plan, const Kernels& kernels, const GemmTensors& tensors, int64_t number) {
  const Task task = locate(plan, number);
  const int64_t inputs = plan.problem.group_inputs;
  const int64_t outputs = plan.problem.group_outputs;
  const int64_t first_row = task.patch_column * plan.tiling.columns;
  const int64_t rows = std::min(plan.tiling.columns, plan.problem.output[2] - first_row);
  const int64_t pitch = plan.layout.packed_size;
  const std::vector<Window>& windows = windows_of(plan, task);
  float* partial = plan.partial_floats != 0 ? scratch().partial.floats(plan.partial_floats) : nullptr;
  float* packed = packed_tile(plan);
  float* staged = scratch().staged.floats(outputs * pitch + int64_t{kMaxRegisters} * kernels.lanes);
  if (rows < pitch) std::fill_n(packed, plan.tiling.channels * pitch, 0.0F);
  for (int64_t tile = 0; tile < plan.weights.tiles; ++tile) {
    const int64_t first = tile * plan.tiling.channels;
    const int64_t count = std::min(plan.tiling.channels, inputs - first);
    kernels.transpose(tensors.x + first_row * inputs + first, inputs, packed, pitch, rows, count);
    ComputeJob job = tile_job(plan, task, tile);
    job.bias = tensors.bias;
    job.y = staged;
    job.channel_stride = pitch;
    job.floor = floor_of(false);
    compute_windows(plan, kernels, windows, packed, partial, job);
  }
  const int64_t low = plan.weights.bounds[static_cast<size_t>(task.chunk)];
  const int64_t high = plan.weights.bounds[static_cast<size_t>(task.chunk) + 1];
  if (low >= high) return;
  float* y = tensors.y + first_row * outputs;
  kernels.transpose(staged + low * pitch, pitch, y + low, outputs, high - low, rows);
  if (tensors.residual == nullptr && !tensors.relu) return;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t o = low; o < high; ++o) {
      const int64_t at = row * outputs + o;
      const float* residual = tensors.residual != nullptr ? tensors.residual + first_row * outputs + at : nullptr;
      y[at] = finished(y[at], residual, tensors.relu);
    }
  }
}

}  // namespace n2n
