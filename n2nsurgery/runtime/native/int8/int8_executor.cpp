#include "int8_executor.h"

#include <algorithm>

#include "../aligned_buffer.h"
#include "int8_pack.h"

namespace n2n {
namespace {

// The calling thread's memory, which only grows.
uint8_t* packed_memory(int64_t bytes) {
  static thread_local AlignedBuffer buffer;
  return reinterpret_cast<uint8_t*>(buffer.floats((bytes + 3) / 4));
}

uint8_t* staged_memory(int64_t bytes) {
  static thread_local AlignedBuffer buffer;
  return reinterpret_cast<uint8_t*>(buffer.floats((bytes + 3) / 4));
}

// The outputs that chunk `chunk` of a group computes.
Int8Job job_of(const Int8Plan& plan, const Int8Weights& weights, const Int8Tensors& tensors, int64_t group,
               int64_t chunk) {
  const int64_t outputs = plan.problem.group_outputs;
  const int64_t pieces = outputs / plan.together();
  Int8Job job{};
  job.blocks = plan.blocks.data();
  job.row = weights.row.data();
  job.start = weights.start.data();
  job.multiplier = tensors.multiplier;
  job.first = group * outputs + pieces * chunk / plan.chunks * plan.together();
  job.last = group * outputs + pieces * (chunk + 1) / plan.chunks * plan.together();
  job.packed = plan.packed;
  job.zero = tensors.zero;
  job.sum = tensors.sum;
  return job;
}

void compute_windows(const Int8Kernels& kernels, const std::vector<Int8Window>& windows, const uint8_t* packed,
                     Int8Job job) {
  for (const Int8Window& window : windows) {
    job.x = packed + window.first_pixel * 4;
    job.vectors = window.vectors;
    job.last_pixel = window.last_pixel;
    job.stretches = window.stretches.data();
    job.stretch_count = static_cast<int64_t>(window.stretches.size());
    job.whole = window.whole;
    kernels.compute(job);
  }
}

// The patch's input as the windows read it.
const uint8_t* packed_input(const Int8Plan& plan, const Int8Kernels& kernels, const Int8Patch& patch,
                            const Int8Tensors& tensors) {
  if (plan.in_place) {
    const ConvProblem& problem = plan.problem;
    const int64_t group = (patch.image * problem.groups + patch.group) * problem.group_inputs;
    return tensors.x + group * problem.input_pixels() + patch.column * plan.columns * 4;
  }
  uint8_t* packed = packed_memory(plan.packed_bytes);
  pack_int8_patch(plan, kernels, patch, tensors.x, tensors.batch, tensors.input_zero, packed);
  return packed;
}

}  // namespace

void run_int8_conv_task(const Int8Plan& plan, const Int8Weights& weights, const Int8Kernels& kernels,
                        const Int8Tensors& tensors, int64_t task) {
  const auto take = [&task](int64_t extent) {
    const int64_t index = task % extent;
    task /= extent;
    return index;
  };
  const ConvProblem& problem = plan.problem;
  const int64_t chunk = take(plan.chunks);
  Int8Patch patch{};
  patch.column = take(plan.patch_columns);
  patch.row = take(plan.patch_rows);
  patch.slice = take(problem.output[0]);
  patch.group = take(problem.groups);
  patch.image = task;
  const int64_t pixels = problem.output_pixels();
  const int64_t image = patch.image * problem.groups * problem.group_outputs * pixels;
  const int64_t pixel = (patch.slice * problem.output[1] + patch.row * plan.rows) * problem.output[2] +
                        patch.column * plan.columns;
  Int8Job job = job_of(plan, weights, tensors, patch.group, chunk);
  job.output_stride = pixels;
  job.y = tensors.y + image + pixel * (plan.packed.y ? 4 : 1);
  if (tensors.residual != nullptr) job.residual = tensors.residual + image + pixel * (plan.packed.residual ? 4 : 1);
  const bool last_row = patch.row + 1 == plan.patch_rows;
  const bool last_column = patch.column + 1 == plan.patch_columns;
  compute_windows(kernels, plan.windows[last_row ? 1 : 0][last_column ? 1 : 0],
                  packed_input(plan, kernels, patch, tensors), job);
}

void run_int8_rows_task(const Int8Plan& plan, const Int8Weights& weights, const Int8Kernels& kernels,
                        const Int8Tensors& tensors, int64_t task) {
  const ConvProblem& problem = plan.problem;
  const int64_t piece = task / plan.chunks;
  const int64_t first_row = piece * plan.columns;
  const int64_t rows = std::min(plan.columns, tensors.batch - first_row);
  uint8_t* packed = packed_memory(plan.packed_bytes);
  pack_int8_rows(plan, tensors.x + first_row * problem.group_inputs, rows, problem.group_inputs, packed);
  Int8Job job = job_of(plan, weights, tensors, 0, task % plan.chunks);
  uint8_t* staged = staged_memory(problem.group_outputs * plan.columns);
  job.y = staged;
  job.output_stride = plan.columns;
  compute_windows(kernels, plan.windows[0][0], packed, job);
  for (int64_t row = 0; row < rows; ++row) {
    uint8_t* y = tensors.y + (first_row + row) * problem.group_outputs;
    for (int64_t output = job.first; output < job.last; ++output) y[output] = staged[output * plan.columns + row];
  }
}

}  // namespace n2n
