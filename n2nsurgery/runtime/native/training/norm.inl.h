// Normalisation over one channel's contiguous elements. Included after a Simd.
#pragma once

#include "put.inl.h"
#include "summed.inl.h"
#include "training_kernels.h"

namespace {

using n2n::training::GradientSums;
using n2n::training::Moments;
using n2n::training::NormGradientJob;
using n2n::training::NormJob;

Moments moments(const float* x, int64_t count) {
  const double sum = summed(
      count, [x](int64_t i, Simd::Reg total) { return Simd::add(total, Simd::load(x + i)); },
      [x](int64_t i) { return x[i]; });
  const double mean = sum / static_cast<double>(count);
  const auto center = static_cast<float>(mean);
  const Simd::Reg minus = Simd::broadcast(-center);
  const double squares = summed(
      count,
      [x, minus](int64_t i, Simd::Reg total) {
        const Simd::Reg d = Simd::add(Simd::load(x + i), minus);
        return Simd::fma(d, d, total);
      },
      [x, center](int64_t i) { return (x[i] - center) * (x[i] - center); });
  const double error = mean - static_cast<double>(center);
  const double variance = squares / static_cast<double>(count) - error * error;
  return {mean, variance < 0.0 ? 0.0 : variance};
}

template <bool Residual>
void normalize_channel(const NormJob& job) {
  const Simd::Reg scale = Simd::broadcast(job.scale);
  const Simd::Reg shift = Simd::broadcast(job.shift);
  const Simd::Reg zero = Simd::zero();
  const bool relu = job.relu;
  int64_t i = 0;
  for (; i + Simd::kLanes <= job.count; i += Simd::kLanes) {
    Simd::Reg y = Simd::fma(scale, Simd::load(job.x + i), shift);
    if (Residual) y = Simd::add(y, Simd::load(job.residual + i));
    put(job.stream, job.y + i, relu ? Simd::at_least(zero, y) : y);
  }
  for (; i < job.count; ++i) {
    const float y = job.x[i] * job.scale + job.shift + (Residual ? job.residual[i] : 0.0F);
    job.y[i] = relu && y < 0.0F ? 0.0F : y;
  }
}

void normalize(const NormJob& job) {
  job.residual == nullptr ? normalize_channel<false>(job) : normalize_channel<true>(job);
}

enum class Passing { kAll, kWhereX, kWhereY };

// The gradient before the ReLU: nothing where the result is not above zero, and all of it where that is NaN.
template <Passing P>
struct Gradient {
  explicit Gradient(const NormGradientJob& of)
      : job(of), scale(Simd::broadcast(of.scale)), shift(Simd::broadcast(of.shift)) {}

  Simd::Reg at(int64_t i, Simd::Reg x) const {
    const Simd::Reg dy = Simd::load(job.dy + i);
    if (P == Passing::kAll) return dy;
    return TrainingSimd::where_positive(P == Passing::kWhereY ? Simd::load(job.y + i) : Simd::fma(scale, x, shift), dy);
  }

  float one(int64_t i) const {
    if (P == Passing::kAll) return job.dy[i];
    return (P == Passing::kWhereY ? job.y[i] : job.x[i] * job.scale + job.shift) <= 0.0F ? 0.0F : job.dy[i];
  }

  const NormGradientJob& job;
  Simd::Reg scale;
  Simd::Reg shift;
};

template <Passing P>
GradientSums sums_of_gradient(const NormGradientJob& job) {
  const Simd::Reg minus = Simd::broadcast(-job.mean);
  const Simd::Reg zero = Simd::zero();
  const Gradient<P> gradient(job);
  GradientSums sums{0.0, 0.0};
  int64_t i = 0;
  for (int64_t end; i + Simd::kLanes <= job.count; i = end) {
    const int64_t whole = (job.count - i) / Simd::kLanes * Simd::kLanes;
    end = i + (whole < kStretch ? whole : kStretch);
    Simd::Reg plain = zero;
    Simd::Reg weighted = zero;
    for (int64_t j = i; j < end; j += Simd::kLanes) {
      const Simd::Reg x = Simd::load(job.x + j);
      const Simd::Reg dy = gradient.at(j, x);
      if (P == Passing::kWhereY) Simd::store(job.passed + j, dy);
      plain = Simd::add(plain, dy);
      weighted = Simd::fma(dy, Simd::add(x, minus), weighted);
    }
    sums.dy += lane_sum(plain);
    sums.dy_xhat += lane_sum(weighted);
  }
  for (; i < job.count; ++i) {
    const float dy = gradient.one(i);
    if (P == Passing::kWhereY) job.passed[i] = dy;
    sums.dy += static_cast<double>(dy);
    sums.dy_xhat += static_cast<double>(dy * (job.x[i] - job.mean));
  }
  sums.dy_xhat *= static_cast<double>(job.inverse);
  return sums;
}

GradientSums gradient_sums(const NormGradientJob& job) {
  if (!job.relu) return sums_of_gradient<Passing::kAll>(job);
  return job.y == nullptr ? sums_of_gradient<Passing::kWhereX>(job) : sums_of_gradient<Passing::kWhereY>(job);
}

// dx = factor * dy + x * by + rest, which is factor * (dy - offset - (x - mean) * inverse * slope).
template <Passing P>
void gradient_of_norm(const NormGradientJob& job) {
  const float by = -job.factor * job.inverse * job.slope;
  const float rest = -job.factor * job.offset - by * job.mean;
  const Simd::Reg factors = Simd::broadcast(job.factor);
  const Simd::Reg slopes = Simd::broadcast(by);
  const Simd::Reg rests = Simd::broadcast(rest);
  const Gradient<P> gradient(job);
  int64_t i = 0;
  for (; i + Simd::kLanes <= job.count; i += Simd::kLanes) {
    const Simd::Reg x = Simd::load(job.x + i);
    put(job.stream, job.dx + i, Simd::fma(factors, gradient.at(i, x), Simd::fma(slopes, x, rests)));
  }
  for (; i < job.count; ++i) job.dx[i] = job.factor * gradient.one(i) + (by * job.x[i] + rest);
}

void norm_gradient(const NormGradientJob& job) {
  if (!job.relu) return gradient_of_norm<Passing::kAll>(job);
  if (job.y == nullptr) return gradient_of_norm<Passing::kWhereX>(job);
  NormGradientJob known = job;
  known.dy = job.passed;
  gradient_of_norm<Passing::kAll>(known);
}

}  // namespace
