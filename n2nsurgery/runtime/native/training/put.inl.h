// One vector of a result. Included after a Simd.
#pragma once

namespace {

// Past the caches with `stream`; `to` is then on the boundary of a vector.
inline void put(bool stream, float* to, Simd::Reg v) {
  stream ? TrainingSimd::stream(to, v) : Simd::store(to, v);
}

}  // namespace
