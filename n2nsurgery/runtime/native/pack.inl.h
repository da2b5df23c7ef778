// Copies input rows into the packed tile. See PackJob. Included after a Simd; everything has internal linkage.
//
// Rows are written whole vectors at a time and in order: what runs over a row's end is overwritten by the next row.
#pragma once

#include "kernels.h"

namespace {

using n2n::kMaxRowVectors;
using n2n::PackJob;

// Elements [low, high) of a plane's row hold data: those whose column is in the image.
struct Extent {
  int64_t low, high;
};

Extent data_extent(const PackJob& job, int64_t plane) {
  const int64_t column = job.plane_column[plane];
  const int64_t stride = job.column_stride;
  const int64_t low = column >= 0 ? 0 : (-column + stride - 1) / stride;
  int64_t high = column >= job.width ? 0 : (job.width - column + stride - 1) / stride;
  if (high > job.plane_used[plane]) high = job.plane_used[plane];
  return {low, high < low ? low : high};
}

void clear(float* target, int64_t count) {
  for (int64_t v = 0; v < count; v += Simd::kLanes) Simd::store(target + v, Simd::zero());
}

// Reads element e of a row at source + e * stride; source may point before the image, only data elements are touched.
struct PlainRow {
  using Mask = Simd::Range;
  static Mask mask(const Extent& extent, int64_t first) {
    return Simd::range(static_cast<int>(extent.low - first), static_cast<int>(extent.high - first));
  }
  static Simd::Reg load(const float* source, int64_t first, Mask mask) { return Simd::load_range(source + first, mask); }
};

struct EvenRow {
  using Mask = Simd::EvenRange;
  static Mask mask(const Extent& extent, int64_t first) {
    return Simd::even_range(static_cast<int>(2 * (extent.low - first)), static_cast<int>(2 * (extent.high - first) - 1));
  }
  static Simd::Reg load(const float* source, int64_t first, Mask mask) {
    return Simd::load_even(source + 2 * first, mask);
  }
};

// The same place of the next channel: its rows lie on other pages, which the hardware does not foresee.
inline void prefetch_behind(const float* source, int64_t channel_size) {
  __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(source) +
                                                   static_cast<uintptr_t>(channel_size) * sizeof(float)));
}

template <class Row>
void pack_rows(const PackJob& job, int64_t plane, const float* image_plane, float* target, const Extent& extent) {
  typename Row::Mask masks[kMaxRowVectors];
  const int64_t vectors = (job.pitch + Simd::kLanes - 1) / Simd::kLanes;
  for (int64_t v = 0; v < vectors; ++v) masks[v] = Row::mask(extent, v * Simd::kLanes);
  for (int64_t row = 0; row < job.rows; ++row, target += job.pitch) {
    const int64_t y = job.row_base + job.row[row];
    if (image_plane == nullptr || y < 0 || y >= job.height) {
      clear(target, job.pitch);
      continue;
    }
    const float* source = image_plane + y * job.width + job.plane_column[plane];
    for (int64_t v = 0; v < vectors; ++v) {
      prefetch_behind(source + v * Simd::kLanes * job.column_stride, job.channel_size);
      Simd::store(target + v * Simd::kLanes, Row::load(source, v * Simd::kLanes, masks[v]));
    }
  }
}

void pack_strided(const PackJob& job, int64_t plane, const float* image_plane, float* target, const Extent& extent) {
  for (int64_t row = 0; row < job.rows; ++row, target += job.pitch) {
    const int64_t y = job.row_base + job.row[row];
    clear(target, job.pitch);
    if (image_plane == nullptr || y < 0 || y >= job.height) continue;
    const float* source = image_plane + y * job.width;
    for (int64_t e = extent.low; e < extent.high; ++e) {
      target[e] = source[job.plane_column[plane] + e * job.column_stride];
    }
  }
}

void pack(const PackJob& job) {
  for (int64_t channel = job.first; channel < job.last; ++channel) {
    float* target = job.packed + (channel - job.first) * job.packed_size;
    const int64_t slice = job.depth_begin + channel % job.depth_taps * job.depth_dilation;
    const bool inside = slice >= 0 && slice < job.depth;
    const float* image_plane =
        inside ? job.image + channel / job.depth_taps * job.channel_size + slice * job.plane_size : nullptr;
    const int64_t plane_floats = job.rows * job.pitch;
    for (int64_t plane = 0; plane < job.planes; ++plane) {
      const Extent extent = data_extent(job, plane);
      float* rows = target + plane * plane_floats;
      if (job.column_stride == 1) {
        pack_rows<PlainRow>(job, plane, image_plane, rows, extent);
      } else if (job.column_stride == 2) {
        pack_rows<EvenRow>(job, plane, image_plane, rows, extent);
      } else {
        pack_strided(job, plane, image_plane, rows, extent);
      }
    }
    const int64_t filled = job.planes * plane_floats;
    for (int64_t i = filled; i < job.packed_size; ++i) target[i] = 0.0F;
  }
}

typedef float Four __attribute__((vector_size(16)));  // NOLINT(modernize-use-using): the attribute needs a typedef

inline Four load_four(const float* p) {
  Four v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}

inline void store_four(float* p, Four v) { __builtin_memcpy(p, &v, sizeof(v)); }

void transpose(const float* source, int64_t source_stride, float* target, int64_t target_stride, int64_t rows,
               int64_t columns) {
  const int64_t whole_rows = rows / 4 * 4;
  const int64_t whole_columns = columns / 4 * 4;
  for (int64_t c = 0; c < whole_columns; c += 4) {
    for (int64_t r = 0; r < whole_rows; r += 4) {
      const float* s = source + r * source_stride + c;
      float* t = target + c * target_stride + r;
      const Four a = load_four(s);
      const Four b = load_four(s + source_stride);
      const Four d = load_four(s + 2 * source_stride);
      const Four e = load_four(s + 3 * source_stride);
      const Four ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
      const Four ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
      const Four de_low = __builtin_shufflevector(d, e, 0, 4, 1, 5);
      const Four de_high = __builtin_shufflevector(d, e, 2, 6, 3, 7);
      store_four(t, __builtin_shufflevector(ab_low, de_low, 0, 1, 4, 5));
      store_four(t + target_stride, __builtin_shufflevector(ab_low, de_low, 2, 3, 6, 7));
      store_four(t + 2 * target_stride, __builtin_shufflevector(ab_high, de_high, 0, 1, 4, 5));
      store_four(t + 3 * target_stride, __builtin_shufflevector(ab_high, de_high, 2, 3, 6, 7));
    }
  }
  for (int64_t c = 0; c < columns; ++c) {
    for (int64_t r = c < whole_columns ? whole_rows : 0; r < rows; ++r) {
      target[c * target_stride + r] = source[r * source_stride + c];
    }
  }
}

}  // namespace
