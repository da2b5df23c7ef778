// What follows a sum of products: the residual, then ReLU. For results that are finished one by one.
#pragma once

namespace n2n {

inline float finished(float sum, const float* residual, bool relu) {
  if (residual != nullptr) sum += *residual;
  return relu && sum < 0.0F ? 0.0F : sum;  // NaN stays NaN
}

}  // namespace n2n
