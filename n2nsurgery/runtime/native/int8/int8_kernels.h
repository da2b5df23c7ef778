// What the units for each instruction set offer to layers that compute with integers: plain structs and functions.
//
// A packed tensor has four neighbouring channels of one pixel side by side: (N, C / 4, pixels, 4). Kernels read their
// input so, in vectors of such pixels.
#pragma once

#include <cstdint>

namespace n2n {

// Four neighbouring inputs of one output at one kernel position: where they lie, and their weights.
struct Int8Block {
  int32_t offset;  // bytes from a window's first pixel
  int8_t weight[4];
};
static_assert(sizeof(Int8Block) == 8, "the kernels step over blocks of 8 bytes");

// Pixels [from, from + count) of a window belong at pixel `to`, counted from the patch's first result.
struct Stretch {
  int64_t from;
  int64_t count;
  int64_t to;
};

// level -> clamp(round((level - zero) * own + (other level - other_zero) * other) + sum_zero)
struct Int8Sum {
  float own = 0.0F;
  float other = 0.0F;
  int32_t other_zero = 0;
  int32_t zero = 0;
};

// Which tensors of a layer are packed.
struct Int8Layouts {
  bool x = false;
  bool residual = false;
  bool y = false;
};

// One window: `vectors` vectors of pixels, the outputs [first, last); whole fours of them where y is packed.
struct Int8Job {
  const uint8_t* x;    // the window's first pixel, packed
  int64_t last_pixel;  // the last vector's first pixel; the others follow each other
  const Int8Block* blocks;
  const int64_t* row;       // where each output's blocks begin; one more than outputs
  const int32_t* start;     // what each output's sum begins with
  const float* multiplier;  // of each output: sum -> clamp(round(sum * multiplier) + zero)
  int64_t first;
  int64_t last;
  int vectors;
  int32_t zero;
  Int8Layouts packed;
  const uint8_t* residual;  // of output 0, or null
  Int8Sum sum;              // only with a residual
  uint8_t* y;               // of output 0
  int64_t output_stride;    // results of one output
  const Stretch* stretches;
  int64_t stretch_count;
  bool whole;  // every lane of every vector is a result
};

struct Int8Kernels {
  const char* name;
  int lanes;        // pixels of a vector
  int max_vectors;  // of a window
  int pair_limit;   // what two neighbouring weights of one sign may add up to; 0: anything
  void (*compute)(const Int8Job&);
  // `readable`: bytes of each channel that may be read; of `packed`, 15 pixels more than asked for may be written.
  void (*interleave)(const uint8_t* const (&channels)[4], uint8_t* packed, int64_t pixels, int64_t readable);
};

const Int8Kernels& portable_int8_kernels();
#if defined(__x86_64__)
const Int8Kernels& avx2_int8_kernels();
const Int8Kernels& vnni_int8_kernels();
#endif

// Those that belong to select_kernels(); AVX2's where a processor with AVX-512 has no VNNI.
const Int8Kernels& select_int8_kernels();

}  // namespace n2n
