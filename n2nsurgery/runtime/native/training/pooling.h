// Pooling over activations [channel][depth][height][width][batch].
#pragma once

#include "conv_shape.h"

namespace n2n::training {

// Crosses the C interface as it is.
struct PoolShape {
  int64_t channels;
  int64_t batch;
  Axes input;
  Axes output;
  Axes kernel;
  Axes stride;
  Axes pad;
  Axes dilation;
};
constexpr int64_t kMostTaps = 254;  // a tap's number is a byte

// The largest of each window, and which tap of the window it was: the first of equals, NaN before all. Throws Error for
// sizes that do not fit.
void max_pool(const PoolShape& shape, const float* x, float* y, uint8_t* taken, int threads);
void max_pool_gradient(const PoolShape& shape, const float* dy, const uint8_t* taken, float* dx, int threads);

// Windows [begin, end) along each axis, one for each output place; their shares multiply.
struct Windows {
  const int64_t* begin[3];
  const int64_t* end[3];
  const float* share[3];
};

// The sum over each window times its share. Of `shape` only channels, batch, input and output count. Throws Error for
// windows outside the input.
void average_pool(const PoolShape& shape, const Windows& windows, const float* x, float* y, int threads);
void average_pool_gradient(const PoolShape& shape, const Windows& windows, const float* dy, float* dx, int threads);

}  // namespace n2n::training
