#include "cost_model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "division.h"
#include "error.h"
#include "large_pages.h"
#include "patch_shape.h"
#include "rounding.h"

namespace n2n {
namespace {

// Costs, roughly in cycles, fitted to whole layers on Zen 5 with AVX-512, and on Zen 4 those of partial sums and of what
// lies together: so that what they choose is fast, not so that the times come out right.
double packing_cycles(const Effort& effort) { return 9.5 * effort.packed_vectors + 1.1 * effort.packed_rows; }

double computing_cycles(const Effort& effort) {
  return 1.02 * effort.loads_l1 + 1.9 * effort.loads_l2 + 2.2 * effort.loads_l2_together + 3.0 * effort.loads_far +
         0.44 * effort.splits + 1.84 * effort.positions + 0.6 * effort.positions_together + 2.4 * effort.block_loads +
         0.44 * effort.block_loads_far + 2.7 * effort.block_positions + 9.2 * effort.channels + 2.4 * effort.stores +
         1.5 * effort.masked_stores + 3.0 * effort.partials + 12.0 * effort.partials_far;
}

double cycles_of(const Effort& effort) { return computing_cycles(effort) + packing_cycles(effort); }

// Where a tile's pixels are when they are loaded: shares of the loads.
struct Residence {
  double l1, l2, far;
};

Residence residence(double footprint) {
  const double l1 = static_cast<double>(caches().l1) * 0.75;  // weights, results and partial sums pass through it, too
  const double l2 = static_cast<double>(caches().l2) * 0.75;
  const double in_l1 = std::min(1.0, l1 / footprint);
  const double in_l2 = std::min(1.0, l2 / footprint) - in_l1;
  return {in_l1, in_l2, 1.0 - in_l1 - in_l2};
}

// Floats of one packed channel that a window reads: its rows and those that the kernel reaches besides.
double window_floats(const ConvProblem& problem, const Tiling& tiling, const PatchShape& shape, int lanes) {
  const PatchGroup& whole = shape.groups[0];
  const double vectors = static_cast<double>(whole.vectors) /
                         static_cast<double>(ceil_div(whole.vectors, tiling.registers));
  if (tiling.direct) return vectors * lanes;
  const auto pitch = static_cast<double>(shape.layout.pitch);
  const auto packed_rows = static_cast<double>(shape.layout.row.size());
  const auto phases = static_cast<double>(std::min(problem.kernel[1], problem.stride[1]));
  const double rows = std::min(static_cast<double>(tiling.rows), vectors * lanes / pitch);
  const double whole_rows = std::max(rows, 1.0);
  const double reached = packed_rows - (static_cast<double>(tiling.rows) - whole_rows) * phases;
  return reached * std::min(rows, 1.0) * pitch * static_cast<double>(shape.layout.plane_phase.size());
}

// What the number of registers decides, for one image.
struct WindowCount {
  int registers = 1;
  double windows = 0.0;  // per group of channels
  double floats = 0.0;   // of one packed channel, that a window reads
};

WindowCount count_windows(const ConvProblem& problem, const Tiling& tiling, const PatchShape& shape, int lanes) {
  WindowCount count;
  count.registers = tiling.registers;
  for (const PatchGroup& group : shape.groups) {
    count.windows += group.patches * static_cast<double>(group.segments * ceil_div(group.vectors, tiling.registers));
  }
  count.floats = window_floats(problem, tiling, shape, lanes);
  return count;
}

// The share of a patch's partial sums that half of the second-level cache does not hold beside the packed tile.
double lost_partials(const ConvProblem& problem, const Tiling& tiling, const PatchShape& shape, int lanes) {
  const PatchGroup& whole = shape.groups[0];
  const auto bytes = static_cast<double>(problem.group_outputs * whole.segments * whole.vectors * lanes * 4);
  const auto packed = static_cast<double>(tiling.direct ? 0 : tiling.channels * shape.layout.packed_size * 4);
  return 1.0 - std::clamp((static_cast<double>(caches().l2) * 0.5 - packed) / bytes, 0.0, 1.0);
}

Effort effort_of(const Workload& workload, const Tiling& tiling, const PatchShape& shape, const WindowCount& count,
                 int lanes) {
  const ConvProblem& problem = workload.problem;
  const auto tiles = static_cast<double>(ceil_div(problem.group_inputs * problem.kernel[0], tiling.channels));
  const auto groups = static_cast<double>(problem.groups);
  const auto outputs = static_cast<double>(problem.group_outputs) * groups;
  const auto nnz = static_cast<double>(workload.nnz);
  const Residence where = residence(count.floats * 4.0 * static_cast<double>(tiling.channels));
  const double loads = nnz * (1.0 - workload.block_share) * shape.vectors;
  const double block_loads = nnz * workload.block_share * 0.25 * shape.vectors;
  Effort effort;
  const bool together = shape.layout.scaled && !tiling.direct && problem.stride[1] == 1 && problem.stride[2] == 1;
  effort.loads_l1 = loads * where.l1;
  (together ? effort.loads_l2_together : effort.loads_l2) = loads * where.l2;
  effort.loads_far = loads * where.far;
  effort.splits = loads * shape.split;
  (together ? effort.positions_together : effort.positions) = nnz * (1.0 - workload.block_share) * count.windows;
  effort.block_loads = block_loads;
  effort.block_loads_far = block_loads * (1.0 - where.l1);
  effort.block_positions = nnz * workload.block_share * 0.25 * count.windows;
  effort.channels = outputs * count.windows * tiles;
  (shape.contiguous ? effort.stores : effort.masked_stores) = outputs * shape.vectors;
  effort.partials = outputs * shape.vectors * (tiles - 1.0);
  effort.partials_far = effort.partials * lost_partials(problem, tiling, shape, lanes);
  effort.packed_vectors = shape.packed_vectors * groups;
  effort.packed_rows = shape.packed_rows * groups;
  return effort;
}

// The work of a tiling as tasks. A chunk more has runs of its own, which the processor mispredicts once each, and reads
// the input anew.
Division division_of(const Workload& workload, const PatchShape& shape, const WindowCount& count, const Effort& effort,
                     int64_t tiles, int lanes) {
  constexpr double kRunCycles = 20.0;
  // Of a float that another core wrote: 80 GB/s at 4 GHz, near the most that was measured.
  constexpr double kFloatCycles = 0.2;
  const ConvProblem& problem = workload.problem;
  const auto groups = static_cast<double>(problem.groups);
  const double row_length = static_cast<double>(workload.nnz) / static_cast<double>(problem.group_outputs * tiles) / groups;
  const double runs = count.windows * static_cast<double>(tiles) * (4.0 * std::sqrt(row_length) + 1.0);
  const PatchGroup& whole = shape.groups[0];
  double patches = 0.0;
  for (const PatchGroup& group : shape.groups) patches += group.patches;
  Division division;
  division.computing = computing_cycles(effort);
  division.packing = packing_cycles(effort);
  division.handed_over = kFloatCycles * effort.packed_vectors * lanes;
  division.per_chunk = groups * (runs * kRunCycles + static_cast<double>(problem.group_inputs) * shape.vectors);
  division.largest = static_cast<double>(whole.segments * whole.vectors) / (shape.vectors * groups);
  division.whole_patches = static_cast<int64_t>(whole.patches) * problem.groups;
  division.patches = static_cast<int64_t>(patches) * problem.groups;
  return division;
}

class Search {
 public:
  Search(const Workload& workload, const Kernels& kernels) : workload_(workload), kernels_(kernels) {}

  // Tries this patch with several numbers of channels and registers.
  void consider(Tiling tiling, int least_registers, int most_registers) {
    const PatchShape shape = make_shape(workload_.problem, tiling, kernels_.lanes);
    if (ceil_div(shape.layout.pitch, kernels_.lanes) > kMaxRowVectors && !tiling.direct) return;
    count_all_windows(tiling, shape, least_registers, most_registers);
    const int64_t depth_taps = workload_.problem.kernel[0];
    const int64_t all = workload_.problem.group_inputs * depth_taps;
    int64_t previous = 0;
    for (const int64_t channels : {all, int64_t{1024}, int64_t{512}, int64_t{256}, int64_t{128}, int64_t{96},
                                   int64_t{64}, int64_t{48}, int64_t{32}, int64_t{24}, int64_t{16}, int64_t{8},
                                   int64_t{4}, int64_t{1}}) {
      tiling.channels = std::min(all, ceil_div(channels, depth_taps) * depth_taps);
      if (tiling.channels == previous || !offsets_fit(shape.layout, tiling, kernels_.lanes)) continue;
      previous = tiling.channels;
      if (try_registers(tiling, shape)) break;
    }
  }

  bool found() const { return best_cycles_ < std::numeric_limits<double>::infinity(); }
  const Tiling& best() const { return best_; }

 private:
  // Numbers of registers that cut the patch into equally many windows differ in nothing: the largest stands for all.
  void count_all_windows(Tiling tiling, const PatchShape& shape, int least_registers, int most_registers) {
    counts_.clear();
    for (tiling.registers = most_registers; tiling.registers >= least_registers; --tiling.registers) {
      const WindowCount count = count_windows(workload_.problem, tiling, shape, kernels_.lanes);
      if (counts_.empty() || count.windows != counts_.back().windows || count.floats != counts_.back().floats) {
        counts_.push_back(count);
      }
    }
  }

  // True if every window's input is in the first-level cache, so that fewer channels would gain nothing.
  bool try_registers(Tiling tiling, const PatchShape& shape) {
    bool near = true;
    for (const WindowCount& count : counts_) {
      tiling.registers = count.registers;
      const Effort effort = effort_of(workload_, tiling, shape, count, kernels_.lanes);
      near = near && effort.loads_l2 + effort.loads_l2_together + effort.loads_far + effort.block_loads_far == 0.0;
      const int64_t tiles = ceil_div(workload_.problem.group_inputs * workload_.problem.kernel[0], tiling.channels);
      const Division division = division_of(workload_, shape, count, effort, tiles, kernels_.lanes);
      tiling.chunks = choose_chunks(division, workload_.threads, workload_.problem.group_outputs);
      const double cycles = estimate_makespan(division, workload_.threads, tiling.chunks);
      if (cycles < best_cycles_) {
        best_cycles_ = cycles;
        best_ = tiling;
      }
    }
    return near;
  }

  const Workload& workload_;
  const Kernels& kernels_;
  std::vector<WindowCount> counts_;
  Tiling best_;
  double best_cycles_ = std::numeric_limits<double>::infinity();
};

void consider_rows(Search& search, const ConvProblem& problem, int lanes, int most) {
  const int64_t width = problem.output[2];
  for (const int64_t rows : {1, 2, 3, 4, 5, 7, 8, 14, 16}) {
    if (rows > problem.output[1]) break;
    if (width <= 512) {
      search.consider({1, rows, width, 1, true, false}, 1, most);
      if (width < int64_t{4} * lanes && width % lanes != 0) search.consider({1, rows, width, 1, false, false}, 1, most);
    } else {
      search.consider({1, rows, int64_t{lanes} * most, 1, true, false}, most, most);
      search.consider({1, rows, lanes, 1, true, false}, 1, 1);
    }
  }
}

// Patches of one window each, as even as whole vectors allow; and, of a small image, the whole.
void consider_pixels(Search& search, const ConvProblem& problem, int lanes, int most, bool may_be_direct) {
  const int64_t pixels = problem.output[2];
  const int64_t vectors = ceil_div(pixels, lanes);
  for (int at_most = most; at_most >= 1; --at_most) {
    const auto registers = static_cast<int>(ceil_div(vectors, ceil_div(vectors, at_most)));
    if (registers != at_most) continue;
    const int64_t columns = std::min(pixels, int64_t{registers} * lanes);
    if (may_be_direct && pixels % lanes == 0) {
      search.consider({1, 1, columns, 1, true, true}, registers, registers);
    }
    search.consider({1, 1, columns, 1, true, false}, registers, registers);
  }
  if (pixels <= 512) search.consider({1, 1, pixels, 1, true, false}, 1, most);
}

// How many vectors of rows a window of a linear layer may have: a cache line of them, and more as far as their input
// stays in the first-level cache. In blocks of four outputs one load serves all four: there as many as the second-level
// cache holds.
struct RowVectors {
  int least, most;
};

RowVectors row_vectors(const Workload& workload, const Kernels& kernels) {
  const ConvProblem& problem = workload.problem;
  const int64_t vector_bytes = int64_t{4} * kernels.lanes;
  if (workload.block_share > 0.0) {
    const int64_t fit = caches().l2 * 3 / 4 / ((problem.group_inputs + problem.group_outputs) * vector_bytes);
    return {1, static_cast<int>(std::min<int64_t>(std::max<int64_t>(4, fit), kernels.max_block_registers))};
  }
  const int64_t line = std::max<int64_t>(1, static_cast<int64_t>(kCacheLine) / vector_bytes);
  const int64_t near = caches().l1 * 3 / 4 / (problem.group_inputs * vector_bytes);
  return {static_cast<int>(line), static_cast<int>(std::clamp<int64_t>(near, line, kernels.max_registers))};
}

}  // namespace

Effort estimate_effort(const Workload& workload, const Tiling& tiling, const Kernels& kernels) {
  const PatchShape shape = make_shape(workload.problem, tiling, kernels.lanes);
  return effort_of(workload, tiling, shape, count_windows(workload.problem, tiling, shape, kernels.lanes), kernels.lanes);
}

double estimate_cycles(const Workload& workload, const Tiling& tiling, const Kernels& kernels) {
  return cycles_of(estimate_effort(workload, tiling, kernels));
}

Tiling choose_tiling(const Workload& workload, const Kernels& kernels) {
  Search search(workload, kernels);
  const int most = workload.block_share > 0.0 ? kernels.max_block_registers : kernels.max_registers;
  if (workload.problem.pointwise()) {
    consider_pixels(search, workload.problem, kernels.lanes, most, true);
  } else {
    consider_rows(search, workload.problem, kernels.lanes, most);
    // Kernels with a very long reach: small patches, whatever they cost.
    if (!search.found()) search.consider({1, 1, std::min<int64_t>(workload.problem.output[2], kernels.lanes), 1, true, false}, 1, 1);
  }
  require(search.found(), "the kernel's reach is too large for the sparse convolution (more than 65,535 values of one "
                          "input channel for one vector of outputs)");
  return search.best();
}

Tiling choose_rows_tiling(const Workload& workload, const Kernels& kernels, int64_t vectors) {
  Search search(workload, kernels);
  const auto registers = static_cast<int>(vectors);
  search.consider({registers, 1, vectors * kernels.lanes, 1, true, false}, registers, registers);
  return search.best();
}

int64_t choose_row_vectors(const Workload& workload, const Kernels& kernels) {
  constexpr int64_t kMany = 1024;  // rows: the piece at their end does not matter
  ConvProblem many = workload.problem;
  many.input = many.output = Axes{1, 1, kMany};
  const Workload on_many{many, workload.nnz, workload.block_share};
  Search search(on_many, kernels);
  const RowVectors vectors = row_vectors(on_many, kernels);
  for (int registers = vectors.least; registers <= vectors.most; ++registers) {
    search.consider({registers, 1, int64_t{registers} * kernels.lanes, 1, true, false}, registers, registers);
  }
  return search.best().registers;
}

}  // namespace n2n
