// The maximum over windows. See PoolJob. Included after a Simd and pack.inl.h; everything has internal linkage.
//
// A window is read row by row, beginning at the lowest float, and the running maximum stays only where it is greater
// than what comes: so does ONNX Runtime on x86 in its blocked layout. After a NaN the maximum starts anew, and a NaN
// is the result only where it comes last. What lies outside of the image is not part of the window.
#pragma once

#include <limits>

#include "kernels.h"

namespace {

using n2n::PoolJob;

constexpr int64_t kAhead = 2048;  // floats: an image is read once, in order, and comes from the shared cache
constexpr float kLowest = std::numeric_limits<float>::lowest();

// Those taps of a window beginning at `begin` that lie inside, as [low, high).
struct Taps {
  int64_t low, high;
};

inline Taps taps_inside(int64_t begin, int64_t kernel, int64_t extent) {
  return {begin < 0 ? -begin : 0, begin + kernel > extent ? extent - begin : kernel};
}

// One result, anywhere: of the window that begins at row `top` and column `left`, which may lie outside.
inline float pool_one(const PoolJob& job, const float* plane, const Taps& rows, int64_t top, int64_t left) {
  const Taps columns = taps_inside(left, job.kernel_width, job.width);
  float best = kLowest;
  for (int64_t i = rows.low; i < rows.high; ++i) {
    const float* row = plane + (top + i) * job.width;
    for (int64_t j = left + columns.low; j < left + columns.high; ++j) best = best > row[j] ? best : row[j];
  }
  return best;
}

// Running maxima of neighbouring results, whose windows lie Stride columns apart and reach over no side edge, with one
// row more; `corner` is column 0 of the first of them. Width is the kernel's, 0 for any.
template <int Stride, int Width>
N2N_INLINE Simd::Reg with_row(Simd::Reg best, const float* corner, int64_t any_width) {
  const int64_t width = Width != 0 ? Width : any_width;
  if (Stride == 1) {
    for (int64_t j = 0; j < width; ++j) best = Simd::at_least(best, Simd::load(corner + j));
    return best;
  }
  for (int64_t j = 0; j + 1 < width; j += 2) {
    const Simd::Pairs both = Simd::load_pairs(corner + j);
    best = Simd::at_least(Simd::at_least(best, both.even), both.odd);
  }
  return width % 2 == 0 ? best : Simd::at_least(best, Simd::load_pairs(corner + width - 2).odd);
}

// The same for fewer results than a vector holds.
template <int Stride>
struct Some;

template <>
struct Some<1> {
  Simd::Range mask;
  explicit Some(int count) : mask(Simd::range(0, count)) {}
  Simd::Reg load(const float* p) const { return Simd::load_range(p, mask); }
};

template <>
struct Some<2> {
  Simd::EvenRange mask;
  explicit Some(int count) : mask(Simd::even_range(0, 2 * count - 1)) {}
  Simd::Reg load(const float* p) const { return Simd::load_even(p, mask); }
};

// Results [first, last) of each row; none of their windows reaches over a side edge.
struct Inner {
  int64_t first, last;
};

// One row of inner results from `count` rows of the image, which begin at `corner`.
template <int Stride, int Width>
N2N_INLINE void inner_row(const PoolJob& job, const Inner& inner, const Some<Stride>& some, const float* corner,
                          int64_t count, float* y) {
  const int64_t length = inner.last - inner.first;
  y += inner.first;
  if (length < Simd::kLanes) {
    Simd::Reg best = Simd::broadcast(kLowest);
    for (int64_t i = 0; i < count; ++i, corner += job.width) {
      for (int64_t j = 0; j < job.kernel_width; ++j) best = Simd::at_least(best, some.load(corner + j));
    }
    return Simd::store_first(y, best, static_cast<int>(length));
  }
  for (int64_t done = 0; done < length; done += Simd::kLanes) {
    const int64_t x = done + Simd::kLanes <= length ? done : length - Simd::kLanes;  // the last one repeats a few
    const float* row = corner + x * Stride;
    Simd::Reg best = Simd::broadcast(kLowest);
    for (int64_t i = 0; i < count; ++i, row += job.width) {
      for (int line = 0; line < Stride; ++line) prefetch_behind(row + line * Simd::kLanes, kAhead);
      best = with_row<Stride, Width>(best, row, job.kernel_width);
    }
    Simd::store(y + x, best);
  }
}

template <int Stride, int Width>
void pool_planes(const PoolJob& job, const Inner& inner) {
  const int64_t length = inner.last - inner.first;
  const Some<Stride> some(static_cast<int>(length < Simd::kLanes ? length : Simd::kLanes));
  const float* plane = job.x;
  float* y = job.y;
  for (int64_t p = 0; p < job.planes; ++p, plane += job.height * job.width) {
    for (int64_t row = 0; row < job.output_height; ++row, y += job.output_width) {
      const int64_t top = row * job.row_stride - job.pad_top;
      const Taps rows = taps_inside(top, job.kernel_height, job.height);
      for (int64_t x = 0; x < job.output_width; ++x) {
        if (x == inner.first) x = inner.last;
        if (x < job.output_width) y[x] = pool_one(job, plane, rows, top, x * job.column_stride - job.pad_left);
      }
      if (length == 0) continue;
      const int64_t corner = (top + rows.low) * job.width + inner.first * Stride - job.pad_left;
      inner_row<Stride, Width>(job, inner, some, plane + corner, rows.high - rows.low, y);
    }
  }
}

void max_pool(const PoolJob& job) {
  const int64_t stride = job.column_stride;
  const int64_t room = job.width + job.pad_left - job.kernel_width;  // the last inner window begins here or before
  Inner inner{(job.pad_left + stride - 1) / stride, room < 0 ? 0 : room / stride + 1};
  if (inner.last > job.output_width) inner.last = job.output_width;
  const bool vectors = stride == 1 || (stride == 2 && job.kernel_width > 1);
  if (!vectors || inner.last < inner.first) inner = {job.output_width, job.output_width};
  if (stride != 2) return job.kernel_width == 3 ? pool_planes<1, 3>(job, inner) : pool_planes<1, 0>(job, inner);
  if (job.kernel_width == 2) return pool_planes<2, 2>(job, inner);
  return job.kernel_width == 3 ? pool_planes<2, 3>(job, inner) : pool_planes<2, 0>(job, inner);
}

}  // namespace
