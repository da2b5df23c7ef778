#include "processor.h"

#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "error.h"

namespace n2n {
namespace {

// Best first.
std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
      __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
      __builtin_cpu_supports("fma") != 0) {
    found.push_back(&avx512_kernels());
  }
  if (__builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0) found.push_back(&avx2_kernels());
#elif defined(__aarch64__)
  found.push_back(&neon_kernels());
#endif
  found.push_back(&portable_kernels());
  return found;
}

int64_t cache_size([[maybe_unused]] int level, int64_t otherwise) {
#if defined(_SC_LEVEL1_DCACHE_SIZE)
  const long size = sysconf(level == 1 ? _SC_LEVEL1_DCACHE_SIZE : _SC_LEVEL2_CACHE_SIZE);
  if (size > 0) return size;
#endif
  return otherwise;
}

}  // namespace

const Kernels& select_kernels() {
  const std::vector<const Kernels*> found = available_kernels();
  const char* wanted = std::getenv("N2NSURGERY_ISA");
  if (wanted == nullptr || *wanted == '\0') return *found.front();
  std::string names;
  for (const Kernels* kernels : found) {
    if (std::string(kernels->name) == wanted) return *kernels;
    names += (names.empty() ? "" : ", ") + std::string(kernels->name);
  }
  throw Error(std::string("N2NSURGERY_ISA=") + wanted + " is not available here; available: " + names);
}

const Caches& caches() {
  static const Caches sizes{cache_size(1, Caches{}.l1), cache_size(2, Caches{}.l2)};
  return sizes;
}

}  // namespace n2n
