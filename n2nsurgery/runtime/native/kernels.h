// What the per-instruction-set translation units offer: plain structs and function pointers, so that no inline code is
// shared between units compiled with different instruction sets.
#pragma once

#include <cstdint>

#include "activation.h"

namespace n2n {

// Four non-zeros: offsets of their input vectors (unit: see ComputeJob::scaled) and their values.
struct Record {
  uint16_t offset[4];
  float value[4];
};
static_assert(sizeof(Record) == 24, "the kernels step over records of 24 bytes");

// Four positions shared by four neighbouring output channels; value[position][channel].
struct BlockRecord {
  uint16_t offset[4];
  float value[4][4];
};
static_assert(sizeof(BlockRecord) == 72, "the kernels step over records of 72 bytes");

// Output channels (or blocks of four) channels[first..last), each with `count` positions from `record` on.
struct Run {
  int32_t first;
  int32_t last;
  int32_t count;
  int32_t unused;
  int64_t record;
};

// Where one vector of results goes: the lanes of `mask` land contiguously at `destination`.
struct Target {
  int64_t destination;
  uint32_t mask;
};

constexpr int kMaxRegisters = 16;  // vectors of one register block
constexpr int kMaxRowVectors = 160;

// One register block: `registers` vectors of pixels, all output channels of one run list, one tile of input channels.
struct ComputeJob {
  const float* x;  // the block's first vector in the packed tile
  const Record* records;
  const Run* runs;
  int64_t run_count;
  const BlockRecord* block_records;
  const Run* block_runs;
  int64_t block_run_count;
  const int32_t* channels;        // output channels, in the order of the runs
  const int32_t* block_channels;  // first output channel of each block of four
  const float* bias;
  const float* residual;  // or null
  float* y;
  int64_t channel_stride;  // floats between output channels of y and residual
  float* partial;          // sums between tiles: [channel][registers][lanes]
  const Target* targets;   // one per vector
  int registers;
  bool first_tile;
  bool last_tile;
  bool contiguous;  // all lanes of all vectors go to one contiguous stretch at targets[0]
  bool scaled;      // offsets count vectors, not floats
  Activation activation;
};

// Copies input rows into the packed tile, zero-padded, split into the phases of the stride.
struct PackJob {
  const float* image;  // first channel of the group
  float* packed;       // first packed channel
  int64_t first;       // channels of the tile, counted over (input channel, depth tap)
  int64_t last;
  int64_t channel_size;  // floats per input channel
  int64_t plane_size;    // floats per depth slice
  int64_t depth_taps;
  int64_t depth_dilation;
  int64_t depth_begin;  // input slice of the first depth tap; may be outside [0, depth)
  int64_t depth;
  int64_t height;
  int64_t width;
  int64_t planes;               // column phases
  const int64_t* plane_column;  // input column of each plane's element 0; may be negative
  const int64_t* plane_used;    // elements of each plane's row that may hold data; the rest is zero
  int64_t column_stride;
  int64_t rows;
  const int64_t* row;  // input row of each packed row, relative to row_base
  int64_t row_base;
  int64_t pitch;        // floats per packed row
  int64_t packed_size;  // floats per packed channel
};

// target[c * target_stride + r] = source[r * source_stride + c] for r < rows, c < columns, finished where that is asked.
struct TurnJob {
  const float* source;
  int64_t source_stride;
  float* target;
  int64_t target_stride;
  int64_t rows;
  int64_t columns;
  const float* residual;  // laid out as the target, or null
  Activation activation;
};

// The maximum over windows of `planes` consecutive images of one channel.
struct PoolJob {
  const float* x;
  float* y;
  int64_t planes;
  int64_t height;
  int64_t width;
  int64_t output_height;
  int64_t output_width;
  int64_t kernel_height;
  int64_t kernel_width;
  int64_t row_stride;
  int64_t column_stride;
  int64_t pad_top;  // smaller than the kernel, so that every window holds something of the image
  int64_t pad_left;
};

// target[place * phases + phase] = source[phase * source_stride + place], as far as there is room in the target.
struct InterleaveJob {
  const float* source;  // a vector may be read behind the last place
  int64_t source_stride;
  float* target;
  int64_t phases;
  int64_t room;
};

// One patch of one channel of a depthwise convolution: bias plus the taps, for all that lies in the packed rows, and of
// these the results of each row.
struct DepthwiseJob {
  const float* packed;
  const int64_t* offset;  // of each kernel position
  const int32_t* position;
  const float* value;
  int64_t taps;  // that are not zero
  const float* dense;     // all taps, where none is zero and the kernel's rows read neighbouring packed rows; else null
  int64_t kernel_height;
  int64_t kernel_width;
  float bias;
  int64_t pitch;  // floats per packed row
  int64_t rows;
  int64_t columns;
  float* staged;  // rows * pitch in whole vectors, and a vector more
  float* y;
  int64_t row_stride;  // of y
  Activation activation;
};

// y = activation(factor[c] * x + summand[c]) over `pixels` neighbouring values of each channel; y may be x.
struct ScaleJob {
  const float* x;
  float* y;
  const float* factor;
  const float* summand;  // or null
  int64_t channels;
  int64_t pixels;
  Activation activation;
};

struct Kernels {
  const char* name;
  int lanes;
  int max_registers;
  int max_block_registers;
  void (*compute)(const ComputeJob&);
  void (*pack)(const PackJob&);
  void (*turn)(const TurnJob&);
  void (*activate)(const Activation&, float* values, int64_t count);
  void (*max_pool)(const PoolJob&);
  void (*interleave)(const InterleaveJob&);
  void (*depthwise)(const DepthwiseJob&);
  void (*scale)(const ScaleJob&);
};

const Kernels& portable_kernels();
#if defined(__x86_64__)
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
#endif
#if defined(__aarch64__)
const Kernels& neon_kernels();
#endif

}  // namespace n2n
