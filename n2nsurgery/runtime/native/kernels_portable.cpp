// Kernels in plain C++ with the compiler's vector extension: correct on every target.
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

const Kernels& portable_kernels() {
  static const Kernels kernels{"portable", Simd::kLanes, Simd::kMaxRegisters, Simd::kMaxBlockRegisters,
                               compute, pack, turn, activate, max_pool, interleave, depthwise, scale};
  return kernels;
}

}  // namespace n2n
