// Stores past the caches: a large result would be read into them before it is written, and push out what is needed.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "../processor.h"

namespace n2n::training {

constexpr int64_t kManySecondLevels = 4;  // a result of as many second-level caches is large

// Whether a result of `floats` floats is written so, in stretches of `stretch` floats: where each begins at the boundary
// of a vector of `lanes` floats.
inline bool streams(const float* result, int64_t floats, int64_t stretch, int lanes) {
  constexpr auto kSize = static_cast<int64_t>(sizeof(float));
  return floats * kSize >= kManySecondLevels * caches().l2 && stretch % lanes == 0 &&
         reinterpret_cast<uintptr_t>(result) % static_cast<uintptr_t>(lanes * kSize) == 0;
}

// Makes what this thread stored so visible to others before what it stores from now on.
inline void finish_streams() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

}  // namespace n2n::training
