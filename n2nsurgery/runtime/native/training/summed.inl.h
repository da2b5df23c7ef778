// Sums over one channel's contiguous elements: kept by lane for a stretch, then added in double. Included after a Simd.
#pragma once

#include <cstdint>

namespace {

constexpr int64_t kStretch = 2048;  // floats between additions in double

inline double lane_sum(Simd::Reg v) {
  float lanes[Simd::kLanes];
  Simd::store(lanes, v);
  double sum = 0.0;
  for (const float lane : lanes) sum += static_cast<double>(lane);
  return sum;
}

// The sum of term(position) over whole vectors, and of rest(position) over what is left.
template <typename Term, typename Rest>
inline double summed(int64_t count, const Term& term, const Rest& rest) {
  double total = 0.0;
  int64_t i = 0;
  for (int64_t end; i + Simd::kLanes <= count; i = end) {
    const int64_t whole = (count - i) / Simd::kLanes * Simd::kLanes;
    end = i + (whole < kStretch ? whole : kStretch);
    Simd::Reg even = Simd::zero();
    Simd::Reg odd = Simd::zero();
    int64_t j = i;
    for (; j + 2 * Simd::kLanes <= end; j += 2 * Simd::kLanes) {
      even = term(j, even);
      odd = term(j + Simd::kLanes, odd);
    }
    if (j < end) even = term(j, even);
    total += lane_sum(Simd::add(even, odd));
  }
  for (; i < count; ++i) total += static_cast<double>(rest(i));
  return total;
}

}  // namespace
