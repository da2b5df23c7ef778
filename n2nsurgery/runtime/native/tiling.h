// How a convolution is cut into pieces that fit registers and caches, and where its packed input lies in memory.
//
// A patch is a rectangle of output pixels. Its input is packed, one tile of input channels at a time, so that every
// kernel tap of every pixel is one constant offset; a window of the patch is what the registers hold.
#pragma once

#include <cstdint>
#include <vector>

#include "geometry.h"
#include "kernels.h"

namespace n2n {

// The choices; see cost_model.h for how they are made.
struct Tiling {
  int registers = 1;     // vectors of a window, at most
  int64_t rows = 1;      // output rows of a patch
  int64_t columns = 1;   // output columns of a patch
  int64_t channels = 1;  // packed channels (input channel x depth tap) of a tile
  bool aligned = true;   // packed rows are whole vectors
  bool direct = false;   // pointwise only: read the input where it is
  int64_t chunks = 1;    // of output channels, each a task; several share one packed input
};

struct Window {
  int64_t first_vector = 0;
  int registers = 0;
  bool contiguous = false;
  Target targets[kMaxRegisters] = {};  // destinations relative to the patch's first pixel
};

struct Layout {
  int64_t lead = 0;         // zero floats in front of the first packed channel
  int64_t pitch = 0;        // floats per packed row
  int64_t packed_size = 0;  // floats per packed channel
  bool scaled = false;      // offsets count vectors
  std::vector<int64_t> plane_phase;   // column phase of each plane
  std::vector<int64_t> plane_origin;  // packed element 0 of a plane, relative to the patch's first column
  std::vector<int64_t> plane_used;    // elements that may hold data
  std::vector<int64_t> row;           // input rows, relative to the first output row times the stride
  std::vector<int64_t> tap_offset;    // floats, per kernel position (height x width)
};

// Throws nothing; `offsets_fit` says whether a tile of this tiling can be addressed with 16-bit offsets.
Layout make_layout(const ConvProblem& problem, const Tiling& tiling, int lanes);
bool offsets_fit(const Layout& layout, const Tiling& tiling, int lanes);

// The windows of a patch with that many rows and columns.
std::vector<Window> make_windows(const ConvProblem& problem, const Tiling& tiling, const Layout& layout, int lanes,
                                 int64_t rows, int64_t columns);

}  // namespace n2n
