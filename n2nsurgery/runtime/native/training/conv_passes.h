// The three passes of a sparse convolution over activations [channel][depth][height][width][batch].
//
// The work is cut by output rows, batch and channels. Each sum has one order: the result is the same to the bit for any
// number of threads.
#pragma once

#include "conv_plans.h"

namespace n2n::training {

// y = conv(x), plus `bias` by output channel unless that is null, and the ReLU behind it with `relu`.
struct ConvForward {
  const float* values;
  const float* bias;
  const float* x;
  float* y;
  int64_t relu;  // 0 or 1
};
void conv_forward(const ConvPlans& plans, const ConvForward& conv, int threads);

// From dy, the gradient of the output: dx, that of the input, and those of the kept values and of the bias, each unless
// it is null. Where there was a ReLU, y is its result, and `passed`, of the size of y, gets the gradient before it; else
// both are null.
struct ConvBackward {
  const float* values;
  const float* x;
  const float* y;
  const float* dy;
  float* passed;
  float* dx;
  float* dvalues;
  float* dbias;
};
void conv_backward(const ConvPlans& plans, const ConvBackward& conv, int threads);

}  // namespace n2n::training
