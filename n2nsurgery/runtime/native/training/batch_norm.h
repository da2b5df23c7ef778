// BatchNorm over activations [channel][...][batch], `count` contiguous elements a channel, optionally with the sum with
// another tensor and the ReLU behind it.
#pragma once

#include <cstdint>

namespace n2n::training {

// Crosses the C interface as it is.
struct NormShape {
  int64_t channels;
  int64_t count;
  int64_t relu;  // 0 or 1
};

// y = relu((x - mean) / sqrt(variance + epsilon) * weight + bias + residual); weight, bias and residual may be null.
// With `training` mean and variance are those of x, and are written, the variance divided by count; else they are read.
// `inverse` gets 1 / sqrt(variance + epsilon); y before residual and ReLU is x * scale + shift.
struct NormForward {
  const float* x;
  const float* residual;
  float* y;
  const float* weight;
  const float* bias;
  float* mean;
  float* variance;
  float* inverse;
  float* scale;
  float* shift;
  double epsilon;
  int64_t training;
};
void norm_forward(const NormShape& shape, const NormForward& norm, int threads);

// dweight and dbias may be null. With `training` mean and inverse depend on x. y is the result where residual and ReLU
// are there, else null; `passed` then gets the residual's gradient.
struct NormBackward {
  const float* x;
  const float* y;
  const float* dy;
  float* passed;
  float* dx;
  const float* weight;
  const float* mean;
  const float* inverse;
  const float* scale;
  const float* shift;
  float* dweight;
  float* dbias;
  int64_t training;
};
void norm_backward(const NormShape& shape, const NormBackward& norm, int threads);

}  // namespace n2n::training
