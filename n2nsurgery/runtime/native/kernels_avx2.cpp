// Kernels for AVX2 and FMA. Compiled with those instruction sets; only called where the processor has them.
#if defined(__x86_64__)
#include "simd_avx2.h"

#include "activation.inl.h"
#include "compute.inl.h"
#include "depthwise.inl.h"
#include "interleave.inl.h"
#include "pack.inl.h"
#include "pool.inl.h"
#include "scale.inl.h"
#include "turn.inl.h"

namespace n2n {

const Kernels& avx2_kernels() {
  static const Kernels kernels{"avx2", Simd::kLanes, Simd::kMaxRegisters, Simd::kMaxBlockRegisters,
                               compute, pack, turn, activate, max_pool, interleave, depthwise, scale};
  return kernels;
}

}  // namespace n2n
#endif
