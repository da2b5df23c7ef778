// The gradient of a bias, and of the ReLU behind it. Included after a Simd.
#pragma once

#include "summed.inl.h"
#include "training_kernels.h"

namespace {

using n2n::training::BiasGradientJob;

double bias_gradient(const BiasGradientJob& job) {
  const float* dy = job.dy;
  if (job.y == nullptr) {
    return summed(
        job.count, [dy](int64_t i, Simd::Reg total) { return Simd::add(total, Simd::load(dy + i)); },
        [dy](int64_t i) { return dy[i]; });
  }
  const float* y = job.y;
  float* passed = job.passed;
  return summed(
      job.count,
      [=](int64_t i, Simd::Reg total) {
        const Simd::Reg passing = TrainingSimd::where_positive(Simd::load(y + i), Simd::load(dy + i));
        Simd::store(passed + i, passing);
        return Simd::add(total, passing);
      },
      [=](int64_t i) { return passed[i] = y[i] <= 0.0F ? 0.0F : dy[i]; });
}

}  // namespace
