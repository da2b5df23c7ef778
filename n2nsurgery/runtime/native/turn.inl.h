// Turns matrices: rows of a linear layer's input into columns, and its results back. Included after a Simd; everything has
// internal linkage.
#pragma once

#include "kernels.h"

namespace {

using n2n::TurnJob;

// The square of vectors at (row, column) of the source, `rows` by `columns` of it; the rest is not touched.
template <bool Finish>
inline void turn_square(const TurnJob& job, int64_t row, int64_t column, int rows, int columns) {
  constexpr int kLanes = Simd::kLanes;
  const float* source = job.source + row * job.source_stride + column;
  const int64_t at = column * job.target_stride + row;
  Simd::Reg v[kLanes];
  if (rows == kLanes && columns == kLanes) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) v[i] = Simd::load(source + i * job.source_stride);
    Simd::turn(v);
    if (Finish && job.residual != nullptr) {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) v[i] = Simd::add(v[i], Simd::load(job.residual + at + i * job.target_stride));
    }
    if (Finish) activate_registers<kLanes>(job.activation, v);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) Simd::store(job.target + at + i * job.target_stride, v[i]);
    return;
  }
  for (int i = 0; i < kLanes; ++i) {
    v[i] = i < rows ? Simd::load_first(source + i * job.source_stride, columns) : Simd::zero();
  }
  Simd::turn(v);
  if (Finish && job.residual != nullptr) {
    for (int i = 0; i < columns; ++i) {
      v[i] = Simd::add(v[i], Simd::load_first(job.residual + at + i * job.target_stride, rows));
    }
  }
  if (Finish) activate_registers<kLanes>(job.activation, v);
  for (int i = 0; i < columns; ++i) Simd::store_first(job.target + at + i * job.target_stride, v[i], rows);
}

// Calls body(begin, size) for [from, to) in pieces of at most `piece`.
template <class Body>
N2N_INLINE void in_pieces(int64_t from, int64_t to, int64_t piece, const Body& body) {
  for (int64_t begin = from; begin < to; begin += piece) body(begin, to - begin < piece ? to - begin : piece);
}

// In blocks of four vectors by as many rows, of which source and target both fit the first-level cache.
template <bool Finish>
void turn_all(const TurnJob& job) {
  constexpr int64_t kBlock = 64;
  in_pieces(0, job.columns, kBlock, [&](int64_t left, int64_t width) {
    in_pieces(0, job.rows, kBlock, [&](int64_t top, int64_t height) {
      in_pieces(left, left + width, Simd::kLanes, [&](int64_t column, int64_t columns) {
        in_pieces(top, top + height, Simd::kLanes, [&](int64_t row, int64_t rows) {
          turn_square<Finish>(job, row, column, static_cast<int>(rows), static_cast<int>(columns));
        });
      });
    });
  });
}

void turn(const TurnJob& job) {
  if (job.residual != nullptr || job.activation.curve != n2n::Curve::kNone) return turn_all<true>(job);
  turn_all<false>(job);
}

}  // namespace
