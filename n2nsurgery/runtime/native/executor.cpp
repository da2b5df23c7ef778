#include "executor.h"

#include <algorithm>

#include "rounding.h"
#include "tiles.h"

namespace n2n {
namespace {

// A task's number, taken apart. Parts (chunks, or parts of the packing) vary fastest, then patches, groups and images.
struct Task {
  int64_t part, patch, patch_column, patch_row, slice, group, image;
};

Task locate(const Plan& plan, int64_t number, int64_t parts) {
  const auto take = [&number](int64_t extent) {
    const int64_t index = number % extent;
    number /= extent;
    return index;
  };
  Task task{};
  task.part = take(parts);
  task.patch = number;
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

Axes place_of(const Task& task) { return {task.slice, task.patch_row, task.patch_column}; }

const float* image_of(const ConvProblem& problem, const ConvTensors& tensors, const Task& task) {
  return tensors.x + (task.image * problem.groups + task.group) * problem.group_inputs * problem.input_pixels();
}

void pack_conv_part(const Plan& plan, const Kernels& kernels, const ConvTensors& tensors, int64_t number) {
  const Task task = locate(plan, number, plan.pack_parts);
  const float* image = image_of(plan.problem, tensors, task);
  for_part(plan, task.part, [&](int64_t tile, int64_t first, int64_t last) {
    float* packed = shared_tile(plan, tensors.packed, task.patch, tile);
    if (first % plan.tiling.channels == 0) clear_ends(plan, packed);
    pack_patch(plan, kernels, place_of(task), image, packed, first, last);
  });
}

// The vectors of one tile's input that a task reads: where they are, or packed by it or for it.
const float* conv_input(const Plan& plan, const Kernels& kernels, const ConvTensors& tensors, const Task& task,
                        int64_t tile, float* own) {
  const ConvProblem& problem = plan.problem;
  if (plan.tiling.direct) {
    return image_of(problem, tensors, task) + tile * plan.tiling.channels * problem.input_pixels() +
           task.patch_column * plan.tiling.columns;
  }
  if (own == nullptr) return shared_tile(plan, tensors.packed, task.patch, tile);
  const int64_t first = tile * plan.tiling.channels;
  const int64_t last = std::min(first + plan.tiling.channels, packed_channels(problem));
  pack_patch(plan, kernels, place_of(task), image_of(problem, tensors, task), own, first, last);
  return own;
}

// Memory for the results of a task's patch, before they are shuffled. Channels lie an odd number of vectors apart, so
// that one vector of each does not fall on few cache sets.
Staged stage_patch(const Plan& plan, const Kernels& kernels, const Task& task) {
  const Axes& output = plan.problem.output;
  const int64_t row = task.patch_row * plan.tiling.rows;
  const int64_t column = task.patch_column * plan.tiling.columns;
  Staged staged{};
  staged.rows = std::min(plan.tiling.rows, output[1] - row);
  staged.columns = std::min(plan.tiling.columns, output[2] - column);
  staged.row_stride = output[2];
  staged.first = (task.slice * output[1] + row) * output[2] + column;
  const int64_t floats = (staged.rows - 1) * staged.row_stride + staged.columns;
  staged.channel_stride = (ceil_div(floats, kernels.lanes) | 1) * kernels.lanes;
  staged.results = scratch().staged.floats(plan.problem.group_outputs * staged.channel_stride + kernels.lanes);
  return staged;
}

void shuffle_patch(const Plan& plan, const Kernels& kernels, const ConvTensors& tensors, const Task& task,
                   const Staged& staged) {
  const int64_t* bounds = plan.weights.bounds.data() + task.group * (plan.tiling.chunks + 1) + task.part;
  const int64_t outputs = plan.problem.group_outputs / tensors.shuffle->phases();
  float* y = tensors.y + (task.image * plan.problem.groups + task.group) * outputs * tensors.shuffle->output_pixels();
  shuffle(*tensors.shuffle, kernels, staged, bounds[0], bounds[1], y);
}

}  // namespace

void run_conv_task(const Plan& plan, const Kernels& kernels, const ConvTensors& tensors, int64_t number) {
  const int64_t packs = plan.pack_tasks(tensors.batch);
  if (number < packs) return pack_conv_part(plan, kernels, tensors, number);
  const Task task = locate(plan, number - packs, plan.tiling.chunks);
  const ConvProblem& problem = plan.problem;
  const int64_t pixels = problem.output_pixels();
  const int64_t output = (task.image * problem.groups + task.group) * problem.group_outputs * pixels +
                         (task.slice * problem.output[1] + task.patch_row * plan.tiling.rows) * problem.output[2] +
                         task.patch_column * plan.tiling.columns;
  const std::vector<Window>& windows = windows_of(plan, task);
  float* partial = plan.partial_floats != 0 ? scratch().partial.floats(plan.partial_floats) : nullptr;
  float* own = plan.tiling.direct || plan.pack_parts != 0 ? nullptr : packed_tile(plan);
  Staged staged{};
  if (tensors.shuffle != nullptr) staged = stage_patch(plan, kernels, task);
  for (int64_t tile = 0; tile < plan.weights.tiles; ++tile) {
    ComputeJob job = tile_job(plan, task.group, task.part, tile);
    job.bias = tensors.bias + task.group * problem.group_outputs;
    job.residual = tensors.residual != nullptr ? tensors.residual + output : nullptr;
    job.y = tensors.shuffle != nullptr ? staged.results : tensors.y + output;
    job.channel_stride = tensors.shuffle != nullptr ? staged.channel_stride : pixels;
    job.activation = tensors.activation;
    compute_windows(plan, kernels, windows, conv_input(plan, kernels, tensors, task, tile, own), partial, job);
  }
  if (tensors.shuffle != nullptr) shuffle_patch(plan, kernels, tensors, task, staged);
}

}  // namespace n2n
