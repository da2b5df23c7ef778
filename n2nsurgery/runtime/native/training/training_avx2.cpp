// Training's kernels for AVX2 and FMA; only called where the processor has them.
#if defined(__x86_64__)
#include "simd_training_avx2.h"

#include "bias.inl.h"
#include "gather.inl.h"
#include "multiply.inl.h"
#include "norm.inl.h"
#include "pooling.inl.h"

namespace n2n::training {

const TrainingKernels& avx2_training_kernels() {
  static const TrainingKernels kernels{"avx2",      Simd::kLanes,    kMultiplyVectors, kWeightVectors, gather,
                                       collect,   multiply,        weight_gradient,  moments,        normalize,
                                       gradient_sums, norm_gradient, bias_gradient,    take_larger,    add_where,      add_scaled};
  return kernels;
}

}  // namespace n2n::training
#endif
