#include <cstring>

#include "../processor.h"
#include "int8_kernels.h"

namespace n2n {

const Int8Kernels& select_int8_kernels() {
#if defined(__x86_64__)
  const char* name = select_kernels().name;
  if (std::strcmp(name, "avx512") == 0) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512vnni") != 0 ? vnni_int8_kernels() : avx2_int8_kernels();
  }
  if (std::strcmp(name, "avx2") == 0) return avx2_int8_kernels();
#else
  select_kernels();  // refuses a name that is not there
#endif
  return portable_int8_kernels();
}

}  // namespace n2n
