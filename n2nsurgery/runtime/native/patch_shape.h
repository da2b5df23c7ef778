// A tiling as the cost model sees it: everything that does not depend on the number of registers and channels.
#pragma once

#include <cstdint>
#include <vector>

#include "tiling.h"

namespace n2n {

// Patches with the same number of rows and columns.
struct PatchGroup {
  double patches = 0.0;   // per group of channels and image
  int64_t segments = 1;   // stretches of vectors that hold pixels
  int64_t vectors = 1;    // of a stretch
};

struct PatchShape {
  Layout layout;
  std::vector<PatchGroup> groups;  // whole patches first
  double split = 0.0;              // share of straddling loads
  bool contiguous = true;
  double vectors = 0.0;         // of output, of all patches
  double packed_rows = 0.0;     // of all patches
  double packed_vectors = 0.0;  // of all patches
};

PatchShape make_shape(const ConvProblem& problem, const Tiling& tiling, int lanes);

}  // namespace n2n
