// Vectors of neighbouring phases into one stretch of results. See InterleaveJob. Included after a Simd; everything has
// internal linkage.
#pragma once

#include "kernels.h"

namespace {

using n2n::InterleaveJob;

// Whole vectors are read: behind the source's last result there is memory, whatever it holds.
void interleave_two(const InterleaveJob& job) {
  const float* even = job.source;
  const float* odd = job.source + job.source_stride;
  for (int64_t done = 0; done < job.room; done += 2 * Simd::kLanes, even += Simd::kLanes, odd += Simd::kLanes) {
    const Simd::Zipped both = Simd::zip(Simd::load(even), Simd::load(odd));
    float* target = job.target + done;
    const int64_t left = job.room - done;
    if (left >= 2 * Simd::kLanes) {
      Simd::store(target, both.lower);
      Simd::store(target + Simd::kLanes, both.upper);
      continue;
    }
    Simd::store_first(target, both.lower, static_cast<int>(left < Simd::kLanes ? left : Simd::kLanes));
    if (left > Simd::kLanes) Simd::store_first(target + Simd::kLanes, both.upper, static_cast<int>(left - Simd::kLanes));
  }
}

void interleave(const InterleaveJob& job) {
  if (job.phases == 2) return interleave_two(job);
  for (int64_t phase = 0; phase < job.phases; ++phase) {
    const float* source = job.source + phase * job.source_stride;
    for (int64_t at = phase; at < job.room; at += job.phases) job.target[at] = *source++;
  }
}

}  // namespace
