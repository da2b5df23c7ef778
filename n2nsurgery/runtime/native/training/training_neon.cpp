// Training's kernels for 64-bit ARM, where NEON is always there.
#if defined(__aarch64__)
#include "simd_training_vector4.h"

#include "bias.inl.h"
#include "gather.inl.h"
#include "multiply.inl.h"
#include "norm.inl.h"
#include "pooling.inl.h"

namespace n2n::training {

const TrainingKernels& neon_training_kernels() {
  static const TrainingKernels kernels{"neon",      Simd::kLanes,    kMultiplyVectors, kWeightVectors, gather,
                                       collect,   multiply,        weight_gradient,  moments,        normalize,
                                       gradient_sums, norm_gradient, bias_gradient,    take_larger,    add_where,      add_scaled};
  return kernels;
}

}  // namespace n2n::training
#endif
