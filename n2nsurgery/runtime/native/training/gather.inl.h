// Packs the sources of a band, and collects a block of the output's gradient. Included after a Simd.
#pragma once

#include "training_kernels.h"

namespace {

using n2n::training::CollectJob;
using n2n::training::GatherJob;

// `vectors` vectors of which the first `elements` floats are there, the rest is zero.
inline void copy_place(const float* from, float* to, int vectors, int64_t elements) {
  for (int v = 0; v < vectors; ++v, elements -= Simd::kLanes) {
    const Simd::Reg value = elements >= Simd::kLanes ? Simd::load(from + v * Simd::kLanes)
                            : elements > 0 ? Simd::load_first(from + v * Simd::kLanes, static_cast<int>(elements))
                                           : Simd::zero();
    Simd::store(to + v * Simd::kLanes, value);
  }
}

// `floats`: of whole vectors.
inline void zero(float* to, int64_t floats) {
  for (float* end = to + floats; to < end; to += Simd::kLanes) Simd::store(to, Simd::zero());
}

// `count` places of V vectors each, `step` floats apart.
template <int V>
inline void copy_places(const float* from, int64_t step, float* to, int64_t count) {
  for (int64_t q = 0; q < count; ++q, from += step, to += V * Simd::kLanes) {
    for (int v = 0; v < V; ++v) Simd::store(to + v * Simd::kLanes, Simd::load(from + v * Simd::kLanes));
  }
}

inline void gather_plane(const GatherJob& job, const float* row, int64_t column, float* to) {
  const int64_t place = static_cast<int64_t>(job.vectors) * Simd::kLanes;
  const bool whole = job.elements == place;
  const int64_t before = column >= 0 ? 0 : (-column + job.column_step - 1) / job.column_step;
  const int64_t low = before < job.plane_width ? before : job.plane_width;
  const int64_t reach = column >= job.width ? 0 : (job.width - column + job.column_step - 1) / job.column_step;
  const int64_t high = reach < low ? low : reach < job.plane_width ? reach : job.plane_width;
  zero(to, low * place);
  const int64_t step = job.column_step * job.column_stride;
  const float* from = row + column * job.column_stride + low * step;
  float* target = to + low * place;
  if (whole && step == place) {
    copy_places<1>(from, Simd::kLanes, target, (high - low) * job.vectors);
  } else if (whole && job.vectors == 1) {
    copy_places<1>(from, step, target, high - low);
  } else if (whole && job.vectors == 2) {
    copy_places<2>(from, step, target, high - low);
  } else {
    for (int64_t q = low; q < high; ++q, from += step, target += place) {
      copy_place(from, target, job.vectors, job.elements);
    }
  }
  zero(to + high * place, (job.plane_width - high) * place);
}

void gather(const GatherJob& job) {
  const int64_t plane = job.plane_width * job.vectors * Simd::kLanes;
  for (int64_t channel = 0; channel < job.channels; ++channel) {
    for (int64_t slice = 0; slice < job.slices; ++slice) {
      const float* source = job.source + channel * job.channel_stride + job.slice[slice] * job.slice_stride;
      float* to = job.packed + (channel * job.slices + slice) * job.packed_channel;
      for (int64_t r = 0; r < job.rows; ++r, to += job.planes * plane) {
        if (job.row[r] == n2n::training::kUnusedRow) continue;
        if (job.row[r] < 0 || job.slice[slice] < 0) {
          zero(to, job.planes * plane);
          continue;
        }
        for (int64_t p = 0; p < job.planes; ++p) {
          gather_plane(job, source + job.row[r] * job.row_stride, job.plane_column[p], to + p * plane);
        }
      }
    }
  }
}

void collect(const CollectJob& job) {
  float* to = job.block;
  for (int64_t channel = job.first; channel < job.last; ++channel) {
    const float* from = job.source + channel * job.channel_stride;
    for (int v = 0; v < job.vectors; ++v, to += Simd::kLanes) {
      copy_place(from + job.places->at[v], to, 1, job.places->lanes[v]);
    }
  }
}

}  // namespace
