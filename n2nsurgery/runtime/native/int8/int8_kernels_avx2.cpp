// Integer kernels for AVX2; only called where the processor has it.
#if defined(__x86_64__)
#include "int8_simd_avx2.h"

#include "int8_compute.inl.h"

namespace n2n {

const Int8Kernels& avx2_int8_kernels() {
  static const Int8Kernels kernels{"avx2",    Int8Simd::kLanes, Int8Simd::kMaxVectors, Int8Simd::kPairLimit,
                                   compute, interleave};
  return kernels;
}

}  // namespace n2n
#endif
