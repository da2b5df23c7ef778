// Integer kernels for AVX-512 with VNNI; only called where the processor has both.
#if defined(__x86_64__)
#include "int8_simd_vnni.h"

#include "int8_compute.inl.h"

namespace n2n {

const Int8Kernels& vnni_int8_kernels() {
  static const Int8Kernels kernels{"vnni",    Int8Simd::kLanes, Int8Simd::kMaxVectors, Int8Simd::kPairLimit,
                                   compute, interleave};
  return kernels;
}

}  // namespace n2n
#endif
