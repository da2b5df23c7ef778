// Chooses a tiling from shapes and densities alone: a few constants and arithmetic, no measuring at run time.
#pragma once

#include <cstdint>

#include "geometry.h"
#include "processor.h"
#include "tiling.h"

namespace n2n {

struct Workload {
  const ConvProblem& problem;
  int64_t nnz = 0;           // all groups
  double block_share = 0.0;  // of the weights, in shared positions of four output channels
  int64_t threads = 1;       // that share the tasks of one image
};

// Throws Error if no tiling can be addressed (a kernel whose reach over one row exceeds 65,535 floats).
Tiling choose_tiling(const Workload& workload, const Kernels& kernels);

// The same for rows of a linear layer, which must be packed because they are not laid out by pixels: `vectors` of them in
// one window.
Tiling choose_rows_tiling(const Workload& workload, const Kernels& kernels, int64_t vectors);

// How many vectors of rows a window of a linear layer has best, where there are rows enough.
int64_t choose_row_vectors(const Workload& workload, const Kernels& kernels);

// How often a tiling does what costs time, for one image: the estimate is their product with the costs of each.
struct Effort {
  double loads_l1 = 0.0;         // vector loads and multiply-adds, input in the first-level cache
  double loads_l2 = 0.0;         // ... in the second-level cache
  double loads_l2_together = 0.0;  // ... where only what is read was packed: a channel's vectors lie behind each other
  double loads_far = 0.0;        // ... behind it
  double splits = 0.0;           // vector loads that straddle cache lines
  double positions = 0.0;        // non-zeros, each window anew
  double positions_together = 0.0;  // ... of such input
  double block_loads = 0.0;      // vector loads with four multiply-adds
  double block_loads_far = 0.0;  // ... whose input is not in the first-level cache
  double block_positions = 0.0;  // shared positions, each window anew
  double channels = 0.0;         // output channels, each window and tile anew
  double stores = 0.0;           // vectors of output
  double masked_stores = 0.0;    // ... that do not fill their lanes
  double partials = 0.0;         // vectors of partial sums, written and read
  double partials_far = 0.0;     // ... that the second-level cache does not keep between tiles
  double packed_vectors = 0.0;
  double packed_rows = 0.0;
};
Effort estimate_effort(const Workload& workload, const Tiling& tiling, const Kernels& kernels);

// Estimated cycles of one image, on one core.
double estimate_cycles(const Workload& workload, const Tiling& tiling, const Kernels& kernels);

}  // namespace n2n
