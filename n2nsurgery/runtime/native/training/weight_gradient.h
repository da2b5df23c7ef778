// The gradient of the kept values.
#pragma once

#include "conv_plans.h"

namespace n2n::training {

// `gradient`, by value, from the input x and the gradient dy of the output. The bands are cut into shares, always the
// same ones, whose sums are added in one order.
void weight_gradient(const ConvPlans& plans, const float* x, const float* dy, float* gradient, int threads);

}  // namespace n2n::training
