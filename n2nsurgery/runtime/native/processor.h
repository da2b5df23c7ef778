// What the running processor offers: the kernels for its instruction set, and the sizes of its caches.
#pragma once

#include <cstdint>

#include "kernels.h"

namespace n2n {

// The widest kernels that the processor runs, or those named by the environment variable N2NSURGERY_ISA (avx512, avx2,
// neon, portable). Throws Error if that names kernels which are not there.
const Kernels& select_kernels();

struct Caches {
  int64_t l1 = 32'768;    // bytes of data cache per core
  int64_t l2 = 1'048'576;  // bytes per core
};
const Caches& caches();

}  // namespace n2n
