// One row of x times sparse weights: sums over single floats, for the few rows that would not fill a vector.
#pragma once

#include <cstdint>
#include <vector>

#include "gemm_executor.h"
#include "ort_call.h"
#include "task_loop.h"
#include "weights.h"

namespace n2n {

// The input channel of every weight in 16 bits where they are enough: such a product uses each weight once, so that
// reading the weights is most of its time.
class ShortInputs {
 public:
  ShortInputs() = default;
  explicit ShortInputs(const SparseWeights& weights);

  const uint16_t* data() const { return inputs_.empty() ? nullptr : inputs_.data(); }

 private:
  std::vector<uint16_t> inputs_;
};

// Outputs [first, last) of row `row` of y.
void run_gemm_row(const SparseWeights& weights, const ShortInputs& inputs, const Kernels& kernels,
                  const GemmTensors& tensors, int64_t row, int64_t first, int64_t last);

// All tensors.rows rows of y, one by one.
void run_rows(const ort::Invocation& invocation, const SparseWeights& weights, const ShortInputs& inputs,
              const Kernels& kernels, const GemmTensors& tensors, ThreadCount& threads);

}  // namespace n2n
