// What the library says of itself, to whoever loads it without ONNX Runtime.
#include "error.h"
#include "processor.h"

#ifndef N2NSURGERY_SOURCES
#define N2NSURGERY_SOURCES "unknown"
#endif

#define N2N_PUBLIC extern "C" __attribute__((visibility("default")))

// The fingerprint of the sources: the build finds it in the file and knows that the library is up to date.
N2N_PUBLIC const char n2nsurgery_sources[];
const char n2nsurgery_sources[] = N2NSURGERY_SOURCES;

// The kernels that this processor runs: avx512, avx2, neon or portable; "none" if N2NSURGERY_ISA names others.
N2N_PUBLIC const char* n2nsurgery_instruction_set() {
  try {
    return n2n::select_kernels().name;
  } catch (const n2n::Error&) {
    return "none";
  }
}
