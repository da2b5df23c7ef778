// Throws random weights, attributes, shapes and tilings at everything below the ONNX Runtime callbacks. Built with
// sanitizers. A refusal (Error) is fine; whatever is accepted must run inside its buffers and agree with plain loops.
//
//   fuzz_driver [CASES] [SEED]
#include "fuzz/convolutions.h"
#include "fuzz/depthwise_convolutions.h"
#include "fuzz/draws.h"
#include "fuzz/pools.h"
#include "fuzz/scales.h"
#include "fuzz/transposed_convolutions.h"

int main(int argc, char** argv) {
  return n2n::run_cases(argc, argv, 0.006, [](n2n::Draws& draws) {
    const int64_t kind = draws.between(0, 10);
    if (kind == 0) n2n::run_windows(draws);
    if (kind == 1) n2n::run_depthwise_case(draws);
    if (kind == 2) n2n::run_transposed(draws);
    if (kind == 3) n2n::run_scales(draws);
    if (kind > 3) n2n::run_case(draws);
    return true;
  });
}
