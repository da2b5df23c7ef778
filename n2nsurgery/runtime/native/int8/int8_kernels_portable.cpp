// Integer kernels in plain C++, for every processor.
#include "int8_simd_portable.h"

#include "int8_compute.inl.h"

namespace n2n {

const Int8Kernels& portable_int8_kernels() {
  static const Int8Kernels kernels{"portable",    Int8Simd::kLanes, Int8Simd::kMaxVectors, Int8Simd::kPairLimit,
                                   compute, interleave};
  return kernels;
}

}  // namespace n2n
