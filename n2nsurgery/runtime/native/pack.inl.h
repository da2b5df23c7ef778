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
  static constexpr int kStride = 1;
  using Mask = Simd::Range;
  static Mask mask(const Extent& extent, int64_t first) {
    return Simd::range(static_cast<int>(extent.low - first), static_cast<int>(extent.high - first));
  }
  static Simd::Reg load(const float* source, int64_t first, Mask mask) { return Simd::load_range(source + first, mask); }
};

struct EvenRow {
  static constexpr int kStride = 2;
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

// One plane of one channel; `masks` are those of a row's vectors. Without an image plane there is only padding.
template <class Row>
void pack_rows(const PackJob& job, int64_t plane, const float* image_plane, float* target,
               const typename Row::Mask* masks) {
  const int64_t vectors = (job.pitch + Simd::kLanes - 1) / Simd::kLanes;
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

// The slice of the image that packed channel `channel` holds, or null where it lies in the padding.
const float* image_plane_of(const PackJob& job, int64_t channel) {
  if (job.depth_taps == 1 && job.depth == 1 && job.depth_begin == 0) return job.image + channel * job.channel_size;
  const int64_t slice = job.depth_begin + channel % job.depth_taps * job.depth_dilation;
  if (slice < 0 || slice >= job.depth) return nullptr;
  return job.image + channel / job.depth_taps * job.channel_size + slice * job.plane_size;
}

// Calls body(image plane, plane, packed rows) for every plane of every channel, in the order in which they lie.
template <class Body>
N2N_INLINE void for_planes(const PackJob& job, const Body& body) {
  float* target = job.packed;
  const int64_t plane_floats = job.rows * job.pitch;
  for (int64_t channel = job.first; channel < job.last; ++channel, target += job.packed_size) {
    const float* image_plane = image_plane_of(job, channel);
    for (int64_t plane = 0; plane < job.planes; ++plane) body(image_plane, plane, target + plane * plane_floats);
    for (int64_t i = job.planes * plane_floats; i < job.packed_size; ++i) target[i] = 0.0F;
  }
}

// There are as many planes as the stride has phases, or fewer.
template <class Row>
void pack_vectors(const PackJob& job) {
  typename Row::Mask masks[Row::kStride][kMaxRowVectors];
  const int64_t vectors = (job.pitch + Simd::kLanes - 1) / Simd::kLanes;
  for (int64_t plane = 0; plane < job.planes; ++plane) {
    const Extent extent = data_extent(job, plane);
    for (int64_t v = 0; v < vectors; ++v) masks[plane][v] = Row::mask(extent, v * Simd::kLanes);
  }
  for_planes(job, [&](const float* image_plane, int64_t plane, float* rows) {
    pack_rows<Row>(job, plane, image_plane, rows, masks[plane]);
  });
}

void pack(const PackJob& job) {
  if (job.column_stride == PlainRow::kStride) return pack_vectors<PlainRow>(job);
  if (job.column_stride == EvenRow::kStride) return pack_vectors<EvenRow>(job);
  for_planes(job, [&](const float* image_plane, int64_t plane, float* rows) {
    pack_strided(job, plane, image_plane, rows, data_extent(job, plane));
  });
}

}  // namespace
