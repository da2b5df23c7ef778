// Input levels, packed as the integer kernels read them: see int8_plan.h.
#pragma once

#include <cstdint>

#include "int8_plan.h"

namespace n2n {

// Which patch of which image; `slice` is the output's place along the depth.
struct Int8Patch {
  int64_t image, group, slice, row, column;
};

// The patch's input, with `zero`, the level of 0.0, around the image. `x` holds `batch` images.
void pack_int8_patch(const Int8Plan& plan, const Int8Kernels& kernels, const Int8Patch& patch, const uint8_t* x,
                     int64_t batch, uint8_t zero, uint8_t* packed);

// Rows [0, rows) of x, each of `inputs` levels, as the pixels of an image.
void pack_int8_rows(const Int8Plan& plan, const uint8_t* x, int64_t rows, int64_t inputs, uint8_t* packed);

}  // namespace n2n
