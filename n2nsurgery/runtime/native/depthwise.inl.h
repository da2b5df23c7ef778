// One patch of a depthwise convolution. See DepthwiseJob. Included after a Simd and the activations; everything has
// internal linkage.
#pragma once

#include "kernels.h"

namespace {

using n2n::DepthwiseJob;

// R neighbouring vectors of results, from `at` floats on.
template <int R>
N2N_INLINE void depthwise_vectors(const DepthwiseJob& job, int64_t at) {
  Simd::Reg sum[R];
  const Simd::Reg bias = Simd::broadcast(job.bias);
  N2N_UNROLL
  for (int r = 0; r < R; ++r) sum[r] = bias;
  for (int64_t t = 0; t < job.taps; ++t) {
    const float* x = job.packed + job.offset[job.position[t]] + at;
    const Simd::Reg weight = Simd::broadcast(job.value[t]);
    N2N_UNROLL
    for (int r = 0; r < R; ++r) sum[r] = Simd::fma(weight, Simd::load(x + r * Simd::kLanes), sum[r]);
  }
  activate_registers<R>(job.activation, sum);
  N2N_UNROLL
  for (int r = 0; r < R; ++r) Simd::store(job.staged + at + r * Simd::kLanes, sum[r]);
}

// Rows in order: where a row's last vector runs into the next row, that is written later.
void copy_rows(const DepthwiseJob& job) {
  const bool whole = job.columns == job.row_stride;
  const int64_t end = (job.rows - 1) * job.row_stride + job.columns;
  for (int64_t row = 0; row < job.rows; ++row) {
    const float* source = job.staged + row * job.pitch;
    for (int64_t c = 0; c < job.columns; c += Simd::kLanes) {
      const int64_t target = row * job.row_stride + c;
      const int64_t left = job.columns - c;
      if (left >= Simd::kLanes || (whole && target + Simd::kLanes <= end)) {
        Simd::store(job.y + target, Simd::load(source + c));
      } else {
        Simd::store_first(job.y + target, Simd::load(source + c), static_cast<int>(left));
      }
    }
  }
}

// R neighbouring rows of a kernel of K rows, one vector of columns: a row that is read serves all results that need it.
template <int K, int R>
N2N_INLINE void depthwise_rows(const DepthwiseJob& job, int64_t row, int64_t column) {
  Simd::Reg sum[R];
  const Simd::Reg bias = Simd::broadcast(job.bias);
  N2N_UNROLL
  for (int r = 0; r < R; ++r) sum[r] = bias;
  const float* x = job.packed + row * job.pitch + column;
  for (int64_t j = 0; j < job.kernel_width; ++j) {
    const float* at = x + job.offset[j];
    Simd::Reg weight[K];
    N2N_UNROLL
    for (int k = 0; k < K; ++k) weight[k] = Simd::broadcast(job.dense[k * job.kernel_width + j]);
    N2N_UNROLL
    for (int i = 0; i < R + K - 1; ++i) {
      const Simd::Reg input = Simd::load(at + i * job.pitch);
      N2N_UNROLL
      for (int k = 0; k < K; ++k) {
        if (i - k >= 0 && i - k < R) sum[i - k] = Simd::fma(weight[k], input, sum[i - k]);
      }
    }
  }
  activate_registers<R>(job.activation, sum);
  const int64_t end = (job.rows - 1) * job.row_stride + job.columns;
  const bool short_row = job.columns < Simd::kLanes;
  int64_t target = row * job.row_stride + column;
  N2N_UNROLL
  for (int r = 0; r < R; ++r, target += job.row_stride) {
    if (!short_row || (job.columns == job.row_stride && target + Simd::kLanes <= end)) {
      Simd::store(job.y + target, sum[r]);  // of a short row, the next rows are written later
    } else {
      Simd::store_first(job.y + target, sum[r], static_cast<int>(job.columns));
    }
  }
}

constexpr int kMostRows = 7;  // what the sides of images are multiples of, mostly

template <int K, int R>
void depthwise_at_most(const DepthwiseJob& job, int64_t row) {
  if constexpr (R > 1) {
    if (job.rows - row < R) return depthwise_at_most<K, R - 1>(job, row);
  }
  const int64_t last = job.columns < Simd::kLanes ? 0 : job.columns - Simd::kLanes;  // the last vector repeats a few
  for (int64_t column = 0; column < last; column += Simd::kLanes) depthwise_rows<K, R>(job, row, column);
  depthwise_rows<K, R>(job, row, last);
}

template <int K>
void depthwise_dense(const DepthwiseJob& job) {
  for (int64_t row = 0; row < job.rows; row += kMostRows) depthwise_at_most<K, kMostRows>(job, row);
}

template <int R>
void depthwise_last(const DepthwiseJob& job, int64_t at, int64_t vectors) {
  if constexpr (R > 0) {
    if (vectors != R) return depthwise_last<R - 1>(job, at, vectors);
    depthwise_vectors<R>(job, at);
  }
}

void depthwise(const DepthwiseJob& job) {
  if (job.dense != nullptr && job.kernel_height == 3) return depthwise_dense<3>(job);
  if (job.dense != nullptr && job.kernel_height == 5) return depthwise_dense<5>(job);
  if (job.dense != nullptr && job.kernel_height == 7) return depthwise_dense<7>(job);
  constexpr int kMany = 8;
  const int64_t vectors = (job.rows * job.pitch + Simd::kLanes - 1) / Simd::kLanes;
  int64_t v = 0;
  for (; v + kMany <= vectors; v += kMany) depthwise_vectors<kMany>(job, v * Simd::kLanes);
  depthwise_last<kMany - 1>(job, v * Simd::kLanes, vectors - v);
  copy_rows(job);
}

}  // namespace
