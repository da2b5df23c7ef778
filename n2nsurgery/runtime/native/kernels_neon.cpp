// Kernels for 64-bit ARM, where NEON is always there.
#if defined(__aarch64__)
#include "simd_vector4.h"

#include "activation.inl.h"
#include "compute.inl.h"
#include "depthwise.inl.h"
#include "interleave.inl.h"
#include "pack.inl.h"
#include "pool.inl.h"
#include "scale.inl.h"
#include "turn.inl.h"

namespace n2n {

const Kernels& neon_kernels() {
  static const Kernels kernels{"neon", Simd::kLanes, Simd::kMaxRegisters, Simd::kMaxBlockRegisters,
                               compute, pack, turn, activate, max_pool, interleave, depthwise, scale};
  return kernels;
}

}  // namespace n2n
#endif
