// The three passes of a sparse convolution over activations [channel][depth][height][width][batch].
//
// The work is cut by output rows, batch and channels, each output is summed by one thread in one order: the result is
// the same to the bit for any number of threads.
#pragma once

#include "conv_plans.h"

namespace n2n::training {

// y = conv(x), plus `bias` by output channel unless that is null.
void conv_forward(const ConvPlans& plans, const float* values, const float* bias, const float* x, float* y,
                  int threads);

// dx, the gradient of the input, from dy, that of the output.
void conv_input_gradient(const ConvPlans& plans, const float* values, const float* dy, float* dx, int threads);

// The gradient of each kept value.
void conv_weight_gradient(const ConvPlans& plans, const float* x, const float* dy, float* gradient, int threads);

}  // namespace n2n::training
