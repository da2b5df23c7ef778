#include "tiling.h"

#include <algorithm>
#include <map>
#include <set>

#include "rounding.h"

namespace n2n {
namespace {

// Where kernel position k of an axis reads: input index = (output index + step) * stride + phase.
struct TapPlace {
  int64_t phase, step;
};

TapPlace tap_place(const ConvProblem& problem, size_t axis, int64_t k) {
  const int64_t at = k * problem.dilation[axis] - problem.pad[axis];
  const int64_t step = floor_div(at, problem.stride[axis]);
  return {at - step * problem.stride[axis], step};
}

// Packs the input rows that a patch needs, phase by phase; returns each vertical tap's first packed row.
std::vector<int64_t> place_rows(const ConvProblem& problem, int64_t patch_rows, std::vector<int64_t>& rows) {
  std::map<int64_t, std::set<int64_t>> needed;
  for (int64_t k = 0; k < problem.kernel[1]; ++k) {
    const TapPlace tap = tap_place(problem, 1, k);
    for (int64_t r = 0; r < patch_rows; ++r) needed[tap.phase].insert(tap.step + r);
  }
  std::map<std::pair<int64_t, int64_t>, int64_t> slot;
  for (const auto& [phase, steps] : needed) {
    for (const int64_t step : steps) {
      slot[{phase, step}] = static_cast<int64_t>(rows.size());
      rows.push_back(step * problem.stride[1] + phase);
    }
  }
  std::vector<int64_t> first(static_cast<size_t>(problem.kernel[1]));
  for (int64_t k = 0; k < problem.kernel[1]; ++k) {
    const TapPlace tap = tap_place(problem, 1, k);
    first[static_cast<size_t>(k)] = slot[{tap.phase, tap.step}];
  }
  return first;
}

struct Columns {
  std::vector<int64_t> plane;  // of each horizontal tap
  std::vector<int64_t> shift;  // of each horizontal tap
  int64_t pitch = 0;
  int64_t lead = 0;
};

// Full-width patches share their padding: the zeros behind one row are also those in front of the next.
// Narrower ones hold each row's whole reach.
Columns place_columns(const ConvProblem& problem, int64_t columns, Layout& layout) {
  struct Reach {
    int64_t low, high;
  };
  std::map<int64_t, Reach> phases;
  for (int64_t k = 0; k < problem.kernel[2]; ++k) {
    const TapPlace tap = tap_place(problem, 2, k);
    const auto [entry, fresh] = phases.try_emplace(tap.phase, Reach{tap.step, tap.step});
    if (!fresh) entry->second = {std::min(entry->second.low, tap.step), std::max(entry->second.high, tap.step)};
  }
  const bool full = columns == problem.output[2] && problem.kernel[2] > 1;
  int64_t most_used = 0;
  Columns placed;
  std::map<int64_t, int64_t> plane_of;
  for (const auto& [phase, reach] : phases) {
    plane_of[phase] = static_cast<int64_t>(layout.plane_phase.size());
    const int64_t available = problem.input[2] > phase ? (problem.input[2] - phase - 1) / problem.stride[2] + 1 : 0;
    const int64_t used = full ? std::max<int64_t>(0, std::min(available, columns + reach.high))
                              : columns + reach.high - reach.low;
    const int64_t left = full ? std::max<int64_t>(0, -reach.low) : 0;
    const int64_t right = full ? std::max(columns, columns + reach.high) : used;
    placed.pitch = std::max(placed.pitch, right);
    placed.lead = std::max(placed.lead, left);
    most_used = std::max(most_used, used);
    layout.plane_phase.push_back(phase);
    layout.plane_origin.push_back(full ? 0 : reach.low);
    layout.plane_used.push_back(used);
  }
  placed.pitch = std::max(placed.pitch, most_used + placed.lead);
  for (int64_t k = 0; k < problem.kernel[2]; ++k) {
    const TapPlace tap = tap_place(problem, 2, k);
    const int64_t plane = plane_of[tap.phase];
    placed.plane.push_back(plane);
    placed.shift.push_back(tap.step - layout.plane_origin[static_cast<size_t>(plane)]);
  }
  return placed;
}

// The lanes of a vector that are pixels of the patch, and where the first of them goes.
Target make_target(const ConvProblem& problem, const Layout& layout, int lanes, int64_t vector, int64_t rows,
                   int64_t columns) {
  Target target{0, 0};
  for (int lane = 0; lane < lanes; ++lane) {
    const int64_t flat = vector * lanes + lane;
    const int64_t row = flat / layout.pitch;
    const int64_t column = flat % layout.pitch;
    if (row >= rows || column >= columns) continue;
    if (target.mask == 0) target.destination = row * problem.output[2] + column;
    target.mask |= uint32_t{1} << lane;
  }
  return target;
}

bool is_contiguous(const Window& window, int lanes) {
  const uint32_t all = static_cast<uint32_t>((uint64_t{1} << lanes) - 1);
  for (int r = 0; r < window.registers; ++r) {
    if (window.targets[r].mask != all) return false;
    if (window.targets[r].destination != window.targets[0].destination + int64_t{r} * lanes) return false;
  }
  return true;
}

}  // namespace

Layout make_layout(const ConvProblem& problem, const Tiling& tiling, int lanes) {
  Layout layout;
  layout.scaled = problem.kernel[1] == 1 && problem.kernel[2] == 1;
  if (tiling.direct) {
    layout.plane_phase = {0};
    layout.plane_origin = {0};
    layout.plane_used = {problem.output[2]};
    layout.row = {0};
    layout.tap_offset = {0};
    layout.pitch = problem.output[2];
    layout.packed_size = problem.input_pixels();
    return layout;
  }
  const std::vector<int64_t> first_row = place_rows(problem, tiling.rows, layout.row);
  const Columns columns = place_columns(problem, tiling.columns, layout);
  layout.lead = round_up(columns.lead, lanes);
  layout.pitch = tiling.aligned ? round_up(columns.pitch, lanes) : columns.pitch;
  const auto rows = static_cast<int64_t>(layout.row.size());
  const auto planes = static_cast<int64_t>(layout.plane_phase.size());
  // Whole vectors are packed: what runs over the last row's end stays inside the channel, which another task may follow.
  layout.packed_size = round_up((planes * rows - 1) * layout.pitch + round_up(layout.pitch, lanes), lanes);
  for (int64_t y = 0; y < problem.kernel[1]; ++y) {
    for (int64_t x = 0; x < problem.kernel[2]; ++x) {
      const auto at = static_cast<size_t>(x);
      layout.tap_offset.push_back((columns.plane[at] * rows + first_row[static_cast<size_t>(y)]) * layout.pitch +
                                  columns.shift[at] + layout.lead);
    }
  }
  return layout;
}

bool offsets_fit(const Layout& layout, const Tiling& tiling, int lanes) {
  constexpr int64_t kLargest = 65535;
  if (layout.scaled) {
    return layout.packed_size % lanes == 0 && (tiling.channels - 1) * (layout.packed_size / lanes) <= kLargest;
  }
  const int64_t reach = *std::max_element(layout.tap_offset.begin(), layout.tap_offset.end());
  return (tiling.channels - 1) * layout.packed_size + reach <= kLargest;
}

std::vector<Window> make_windows(const ConvProblem& problem, const Tiling& tiling, const Layout& layout, int lanes,
                                 int64_t rows, int64_t columns) {
  const int64_t vectors = ceil_div(rows * layout.pitch, lanes);
  std::vector<Target> targets;
  const int64_t last = tiling.direct ? ceil_div(columns, lanes) : vectors;
  for (int64_t v = 0; v < last; ++v) targets.push_back(make_target(problem, layout, lanes, v, rows, columns));
  std::vector<Window> windows;
  for (int64_t v = 0; v < last;) {
    if (targets[static_cast<size_t>(v)].mask == 0) {
      ++v;
      continue;
    }
    int64_t end = v;
    while (end < last && targets[static_cast<size_t>(end)].mask != 0) ++end;
    const int64_t pieces = ceil_div(end - v, tiling.registers);
    for (int64_t piece = pieces; piece > 0; --piece) {
      Window window;
      window.first_vector = v;
      window.registers = static_cast<int>(ceil_div(end - v, piece));
      for (int r = 0; r < window.registers; ++r) window.targets[r] = targets[static_cast<size_t>(v + r)];
      window.contiguous = is_contiguous(window, lanes);
      windows.push_back(window);
      v += window.registers;
    }
  }
  return windows;
}

}  // namespace n2n
