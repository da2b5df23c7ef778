#include "int8_plan.h"

#include <algorithm>
#include <limits>

#include "../error.h"
#include "../processor.h"
#include "../rounding.h"

namespace n2n {
namespace {

// Never zero: a last piece that is not cut off is a whole one.
int64_t last_piece(int64_t extent, int64_t piece) { return extent - (ceil_div(extent, piece) - 1) * piece; }

int64_t reach(const ConvProblem& problem, size_t axis) {
  return (problem.kernel[axis] - 1) * problem.dilation[axis] / problem.stride[axis];
}

// Bytes of a packed patch.
int64_t packed_size(const Int8Plan& plan, int64_t rows, int64_t columns) {
  const ConvProblem& problem = plan.problem;
  return plan.input_groups * problem.kernel[0] * static_cast<int64_t>(plan.phases.size()) *
         (rows + reach(problem, 1)) * (columns + reach(problem, 2)) * 4;
}

void find_phases(Int8Plan& plan) {
  const ConvProblem& problem = plan.problem;
  for (int64_t row = 0; row < problem.kernel[1]; ++row) {
    for (int64_t column = 0; column < problem.kernel[2]; ++column) {
      const Int8Plan::Phase phase{row * problem.dilation[1] % problem.stride[1],
                                  column * problem.dilation[2] % problem.stride[2]};
      const auto same = [&](const Int8Plan::Phase& p) { return p.row == phase.row && p.column == phase.column; };
      if (std::none_of(plan.phases.begin(), plan.phases.end(), same)) plan.phases.push_back(phase);
    }
  }
}

// Patches whose packed input stays in the second cache, and enough of them for all threads.
void cut_patches(Int8Plan& plan, const Int8Kernels& kernels, int64_t threads) {
  const ConvProblem& problem = plan.problem;
  const int64_t room = caches().l2 / 2;
  plan.columns = problem.output[2];
  if (problem.output[1] > 1) {
    plan.rows = problem.output[1];
    while (plan.rows > 1 && (packed_size(plan, plan.rows, plan.columns) > room ||
                             ceil_div(problem.output[1], plan.rows) < threads)) {
      --plan.rows;
    }
  } else {
    const int64_t window = int64_t{kernels.lanes} * kernels.max_vectors;
    int64_t windows = ceil_div(problem.output[2], window);
    while (windows > 1 && (packed_size(plan, 1, windows * window) > room ||
                           ceil_div(problem.output[2], windows * window) < threads)) {
      --windows;
    }
    plan.columns = std::min(plan.columns, windows * window);
  }
  plan.rows = ceil_div(problem.output[1], ceil_div(problem.output[1], plan.rows));  // patches of about one size
  plan.patch_rows = ceil_div(problem.output[1], plan.rows);
  plan.patch_columns = ceil_div(problem.output[2], plan.columns);
  plan.chunks = std::min(problem.group_outputs / plan.together(), ceil_div(threads, plan.patches()));
}

// The last vector moves back until it ends where the window's results do, and computes some of them twice.
void end_with_a_whole_vector(Int8Window& window, int64_t lanes) {
  const Stretch all = window.stretches[0];
  window.last_pixel = all.count - lanes;
  window.whole = true;
  const int64_t before = (window.vectors - 1) * lanes;
  window.stretches = {{0, before, all.to}, {before, lanes, all.to + window.last_pixel}};
}

std::vector<Int8Window> make_windows(const Int8Plan& plan, const Int8Kernels& kernels, int64_t rows, int64_t columns) {
  const int64_t pixels = (rows - 1) * plan.pitch + columns;
  const int64_t vectors = ceil_div(pixels, kernels.lanes);
  const int64_t count = ceil_div(vectors, kernels.max_vectors);
  std::vector<Int8Window> windows;
  for (int64_t w = 0; w < count; ++w) {
    Int8Window window;
    window.first_pixel = vectors * w / count * kernels.lanes;
    window.vectors = static_cast<int>(vectors * (w + 1) / count - vectors * w / count);
    window.last_pixel = (window.vectors - 1) * kernels.lanes;
    const int64_t end = window.first_pixel + window.vectors * kernels.lanes;
    for (int64_t row = window.first_pixel / plan.pitch; row < rows && row * plan.pitch < end; ++row) {
      const int64_t first = std::max(row * plan.pitch, window.first_pixel);
      const int64_t last = std::min(row * plan.pitch + columns, end);
      if (first >= last) continue;
      const Stretch next{first - window.first_pixel, last - first,
                         row * plan.problem.output[2] + first - row * plan.pitch};
      Stretch* before = window.stretches.empty() ? nullptr : &window.stretches.back();
      if (before != nullptr && before->from + before->count == next.from && before->to + before->count == next.to) {
        before->count += next.count;
      } else {
        window.stretches.push_back(next);
      }
    }
    window.whole = window.stretches.size() == 1 && window.stretches[0].count == window.vectors * kernels.lanes;
    if (plan.in_place && !window.whole) end_with_a_whole_vector(window, kernels.lanes);
    if (!window.stretches.empty()) windows.push_back(window);
  }
  return windows;
}

void place_blocks(Int8Plan& plan, const Int8Weights& weights) {
  const ConvProblem& problem = plan.problem;
  plan.blocks.reserve(weights.blocks.size());
  for (const Int8Weights::Block& block : weights.blocks) {
    const int64_t column = block.tap % problem.kernel[2] * problem.dilation[2];
    const int64_t row = block.tap / problem.kernel[2] % problem.kernel[1] * problem.dilation[1];
    const int64_t depth = block.tap / (problem.kernel[2] * problem.kernel[1]);
    const auto phase = std::find_if(plan.phases.begin(), plan.phases.end(), [&](const Int8Plan::Phase& p) {
      return p.row == row % problem.stride[1] && p.column == column % problem.stride[2];
    });
    const int64_t plane = (block.group * problem.kernel[0] + depth) * static_cast<int64_t>(plan.phases.size()) +
                          (phase - plan.phases.begin());
    const int64_t pixel = plane * plan.plane() + row / problem.stride[1] * plan.pitch + column / problem.stride[2];
    Int8Block placed{static_cast<int32_t>(pixel * 4), {}};
    std::copy(block.weight, block.weight + 4, placed.weight);
    plan.blocks.push_back(placed);
  }
}

}  // namespace

Int8Plan make_int8_plan(const Int8Weights& weights, const ConvProblem& problem, const Int8Layouts& packed,
                        const Int8Kernels& kernels, int64_t threads) {
  Int8Plan plan;
  plan.problem = problem;
  plan.packed = packed;
  plan.input_groups = ceil_div(problem.group_inputs, 4);
  find_phases(plan);
  cut_patches(plan, kernels, threads);
  plan.plane_rows = plan.rows + reach(problem, 1);
  plan.pitch = plan.columns + reach(problem, 2);
  constexpr int64_t kMostBytes = std::numeric_limits<int32_t>::max();
  plan.in_place = packed.x && problem.pointwise() && last_piece(problem.output[2], plan.columns) >= kernels.lanes &&
                  problem.group_inputs * problem.input[2] <= kMostBytes;
  if (plan.in_place) plan.pitch = problem.input[2];
  // The last window's vectors run past the last plane by less than a window.
  const int64_t slack = int64_t{kernels.lanes} * kernels.max_vectors * 4;
  plan.packed_bytes = plan.in_place ? 0 : packed_size(plan, plan.rows, plan.columns) + slack;
  require(plan.packed_bytes <= kMostBytes, "the packed input is too large to index");
  place_blocks(plan, weights);
  for (const int last_row : {0, 1}) {
    for (const int last_column : {0, 1}) {
      plan.windows[last_row][last_column] =
          make_windows(plan, kernels, last_row != 0 ? last_piece(problem.output[1], plan.rows) : plan.rows,
                       last_column != 0 ? last_piece(problem.output[2], plan.columns) : plan.columns);
    }
  }
  return plan;
}

}  // namespace n2n
