// Everything that one convolution needs for one input size: tiling, packed weights, windows. Immutable once made, and
// shared by concurrent runs.
#pragma once

#include <cstdint>
#include <vector>

#include "cost_model.h"
#include "geometry.h"
#include "kernels.h"
#include "packed_weights.h"
#include "tiling.h"
#include "weights.h"

namespace n2n {

struct Plan {
  ConvProblem problem;
  Tiling tiling;
  Layout layout;
  PackedWeights weights;
  int64_t patch_rows = 1;     // patches along the height
  int64_t patch_columns = 1;  // ... and the width
  // Windows of whole patches and of those cut off by the last row or column: [last row][last column].
  std::vector<Window> windows[2][2];
  std::vector<std::vector<Window>> row_windows;  // of a linear layer: those of 1, 2, ... vectors of rows
  int64_t packed_floats = 0;   // scratch for one packed tile
  int64_t partial_floats = 0;  // scratch for partial sums; 0 with a single tile
  int64_t pack_parts = 0;      // tasks that pack one patch's input for all its chunks; 0 where every task packs its own

  // The plan itself does not depend on the batch.
  int64_t patches(int64_t batch) const {
    return batch * problem.groups * problem.output[0] * patch_rows * patch_columns;
  }
  int64_t pack_tasks(int64_t batch) const { return patches(batch) * pack_parts; }
  int64_t tasks(int64_t batch) const { return patches(batch) * (pack_parts + tiling.chunks); }
};

// A plan whose tasks for one image are meant for that many threads. Results do not depend on it.
Plan make_plan(const SparseWeights& weights, const BlockMap& blocks, const ConvProblem& problem, const Kernels& kernels,
               int64_t threads);

// The same with this tiling.
Plan make_plan(const SparseWeights& weights, const BlockMap& blocks, const ConvProblem& problem, const Kernels& kernels,
               int64_t threads, const Tiling& tiling);

}  // namespace n2n
