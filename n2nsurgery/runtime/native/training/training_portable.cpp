// Training's kernels in plain C++ with the compiler's vector extension: correct on every target.
#include "simd_training_vector4.h"

#include "bias.inl.h"
#include "gather.inl.h"
#include "multiply.inl.h"
#include "norm.inl.h"
#include "pooling.inl.h"

namespace n2n::training {

const TrainingKernels& portable_training_kernels() {
  static const TrainingKernels kernels{"portable",      Simd::kLanes,    kMultiplyVectors, kWeightVectors, gather,
                                       collect,   multiply,        weight_gradient,  moments,        normalize,
                                       gradient_sums, norm_gradient, bias_gradient,    take_larger,    add_where,      add_scaled};
  return kernels;
}

}  // namespace n2n::training
