// The operators that compute with integers.
#pragma once

#include <vector>

#include "../ort_abi.h"

namespace n2n {

// SparseQLinear{Conv[Add]|Gemm}[Bits]; `parallel`: the running ONNX Runtime lends its threads. They live as long as the
// process.
const std::vector<const ort::CustomOp*>& int8_ops(bool parallel);

}  // namespace n2n
