// Everything that a layer with integers needs for one input size: patches, windows, and where blocks find their input.
//
// A patch is a stretch of output rows, or of columns where there is one row. Its input is packed plane by plane, a plane
// for each (four channels, depth tap, phase of the stride), all planes of one pitch: so the outputs of a patch, counted
// through with that pitch, are vectors which every tap reads at one offset. Between rows, such vectors hold results
// that belong nowhere and are not stored. Packed input of a pointwise layer is read where it lies.
#pragma once

#include <cstdint>
#include <vector>

#include "../geometry.h"
#include "int8_kernels.h"
#include "int8_weights.h"

namespace n2n {

struct Int8Window {
  int64_t first_pixel = 0;
  int vectors = 0;
  int64_t last_pixel = 0;  // where the last vector begins, counted from the window's first pixel
  bool whole = false;
  std::vector<Stretch> stretches;
};

struct Int8Plan {
  struct Phase {
    int64_t row, column;
  };

  ConvProblem problem;
  Int8Layouts packed;
  int64_t rows = 1;           // of outputs in a whole patch
  int64_t columns = 1;
  int64_t patch_rows = 1;     // patches along the height
  int64_t patch_columns = 1;  // ... and the width
  int64_t chunks = 1;         // of outputs
  int64_t input_groups = 1;   // of four channels
  int64_t plane_rows = 1;
  int64_t pitch = 1;          // pixels of a packed row
  bool in_place = false;      // the input is read where it lies: the planes are those of the whole image
  std::vector<Phase> phases;  // of which there are planes
  int64_t packed_bytes = 0;   // none where the input is read in place
  std::vector<Int8Block> blocks;
  std::vector<Int8Window> windows[2][2];  // of whole and of last patches: [last row][last column]

  int64_t together() const { return packed.y ? 4 : 1; }  // outputs that no chunk parts
  int64_t plane() const { return plane_rows * pitch; }
  int64_t patches() const { return patch_rows * patch_columns; }
  int64_t tasks(int64_t batch) const { return batch * problem.groups * problem.output[0] * patches() * chunks; }
};

// What is `packed` has fours of channels in each group. `threads` share the tasks of one image. Throws Error if the packed
// input is too large to index.
Int8Plan make_int8_plan(const Int8Weights& weights, const ConvProblem& problem, const Int8Layouts& packed,
                        const Int8Kernels& kernels, int64_t threads);

}  // namespace n2n
