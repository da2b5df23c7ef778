// What each instruction set's translation unit offers to training: plain structs and function pointers.
#pragma once

#include <cstdint>

namespace n2n::training {

constexpr int kMostVectors = 16;   // of one block
constexpr int kMostBlockRows = 4;

// Copies a stretch of source rows into a packed block buffer: zero where there is no source, the columns split by their
// phase of the stride, `vectors` vectors of the batch per column.
struct GatherJob {
  const float* source;  // first channel, depth 0, row 0, column 0, first element of the batch part
  float* packed;
  int64_t channels;
  int64_t channel_stride;
  const int64_t* slice;  // source depth of each depth tap; -1: outside
  int64_t slices;
  int64_t slice_stride;
  const int64_t* row;  // source row of each packed row; -1: outside; kUnusedRow: never read
  int64_t rows;
  int64_t row_stride;
  const int64_t* plane_column;  // source column of each plane's first element; may be negative
  int64_t planes;
  int64_t plane_width;
  int64_t column_step;
  int64_t width;  // of the source
  int64_t column_stride;
  int vectors;
  int64_t elements;  // of the batch that are there; at most vectors * lanes
  int64_t packed_channel;  // floats between slices of the packed buffer
};
constexpr int64_t kOutsideRow = -1;
constexpr int64_t kUnusedRow = -2;

// Where the vectors of a block lie in the tensor, and how many of their lanes are elements of the batch.
struct Places {
  int64_t at[kMostVectors];
  int lanes[kMostVectors];
  bool whole;  // every vector has all its lanes
};

// One block of target places for target channels [first, last): the sums over the entries of one tile of sources.
struct MultiplyJob {
  const float* packed;  // the block's first vector
  int64_t row_pitch;    // floats between the block's rows
  const int32_t* offset;  // by entry, in bytes
  const float* value;     // by entry
  const int32_t* start;   // by target channel, one more than there are
  int64_t first;
  int64_t last;
  const float* bias;  // by target channel, or null
  float* partial;     // sums between tiles, [channel - first][vectors][lanes]
  float* target;      // the block's first place in channel 0
  int64_t channel_stride;
  const Places* places;
  bool first_tile;
  bool last_tile;
  bool relu;    // behind the sums
  bool stream;  // past the caches
};

// The block's share of the gradient of each kept weight, added to sums[entry].
struct WeightJob {
  const float* packed;
  int64_t row_pitch;
  const int32_t* offset;
  const int32_t* start;
  int64_t first;
  int64_t last;
  const float* gradient;   // of the block: the first place in channel `first`
  int64_t channel_stride;  // of the gradient
  const int64_t* at;       // by vector of the block: its place in the gradient
  float* sums;
};

// Copies one block of channels [first, last) into [channel - first][vectors][lanes], zero beyond the batch.
struct CollectJob {
  const float* source;
  int64_t channel_stride;
  int64_t first;
  int64_t last;
  const Places* places;
  int vectors;
  float* block;
};

// Normalisation of one channel of `count` contiguous elements.
struct NormJob {
  const float* x;
  const float* residual;  // or null
  float* y;
  int64_t count;
  float scale;  // y = x * scale + shift + residual
  float shift;
  bool relu;
  bool stream;  // past the caches
};

// Where a fused ReLU lets the gradient pass is known from x, or from y where a residual was added; then what passes is
// the residual's gradient, too, and is written to `passed`.
struct NormGradientJob {
  const float* x;
  const float* y;  // null without a residual
  const float* dy;
  float* passed;
  float* dx;
  int64_t count;
  float scale;  // of the forward pass
  float shift;
  float mean;
  float inverse;  // 1 / standard deviation
  float factor;   // dx = factor * (dy - offset - xhat * slope)
  float offset;
  float slope;
  bool relu;
  bool stream;
};

// The gradient of one channel's bias, dy summed; where y is not null, the result of a ReLU, dy passes where y is above
// zero or NaN, and what passes is written to `passed`.
struct BiasGradientJob {
  const float* y;
  const float* dy;
  float* passed;
  int64_t count;
};

struct Moments {
  double mean;
  double variance;  // divided by count
};

struct GradientSums {
  double dy;
  double dy_xhat;
};

struct TrainingKernels {
  const char* name;
  int lanes;
  int multiply_vectors;  // the most vectors of a block
  int weight_vectors;
  void (*gather)(const GatherJob&);
  void (*collect)(const CollectJob&);
  void (*multiply)(int rows, int run, const MultiplyJob&);  // a block of `rows` rows of `run` vectors
  void (*weight_gradient)(int rows, int run, const WeightJob&);
  Moments (*moments)(const float* x, int64_t count);
  void (*normalize)(const NormJob&);
  GradientSums (*gradient_sums)(const NormGradientJob&);  // writes `passed`, which norm_gradient reads
  void (*norm_gradient)(const NormGradientJob&);
  double (*bias_gradient)(const BiasGradientJob&);
  // best = max(best, x), tap where that is new; NaN wins and stays
  void (*take_larger)(const float* x, int32_t tap, float* best, int32_t* taken, int64_t count);
  void (*add_where)(const float* dy, const uint8_t* taken, uint8_t tap, float* dx, int64_t count);
  void (*add_scaled)(const float* x, float scale, float* y, int64_t count);  // y += scale * x
};

const TrainingKernels& portable_training_kernels();
#if defined(__x86_64__)
const TrainingKernels& avx2_training_kernels();
const TrainingKernels& avx512_training_kernels();
#endif
#if defined(__aarch64__)
const TrainingKernels& neon_training_kernels();
#endif

// Those of the instruction set that the library runs on this processor; throws Error like n2n::select_kernels.
const TrainingKernels& select_training_kernels();

}  // namespace n2n::training
