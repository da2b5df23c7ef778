#include <cstring>

#include "../error.h"
#include "../processor.h"
#include "training_kernels.h"

namespace n2n::training {

const TrainingKernels& select_training_kernels() {
  const char* name = n2n::select_kernels().name;
#if defined(__x86_64__)
  if (std::strcmp(name, "avx512") == 0) return avx512_training_kernels();
  if (std::strcmp(name, "avx2") == 0) return avx2_training_kernels();
#elif defined(__aarch64__)
  if (std::strcmp(name, "neon") == 0) return neon_training_kernels();
#endif
  require(std::strcmp(name, "portable") == 0, "training has no kernels for this instruction set");
  return portable_training_kernels();
}

}  // namespace n2n::training
