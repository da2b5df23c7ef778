// Kernels for AVX-512. Compiled with that instruction set; only called where the processor has it.
#if defined(__x86_64__)
#include "simd_avx512.h"

#include "activation.inl.h"
#include "compute.inl.h"
#include "depthwise.inl.h"
#include "interleave.inl.h"
#include "pack.inl.h"
#include "pool.inl.h"
#include "scale.inl.h"
#include "turn.inl.h"

namespace n2n {

const Kernels& avx512_kernels() {
  static const Kernels kernels{"avx512", Simd::kLanes, Simd::kMaxRegisters, Simd::kMaxBlockRegisters,
                               compute, pack, turn, activate, max_pool, interleave, depthwise, scale};
  return kernels;
}

}  // namespace n2n
#endif
