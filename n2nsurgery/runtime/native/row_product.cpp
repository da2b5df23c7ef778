#include "row_product.h"

#include <algorithm>

namespace n2n {
namespace {

constexpr int64_t kChunks = 16;           // pieces of one row, for the threads to share
constexpr int64_t kStep = 16;             // a cache line of values
constexpr uintptr_t kAheadBytes = 2048;   // of values: beyond what the hardware fetches by itself

// The address may lie behind the last weight: it is only asked for, never read.
void fetch(const void* at, uintptr_t ahead) {
  __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(at) + ahead));
}

// Sum of value[i] * x[index[i]]. Eight chains hide the latency of the additions. A vector gather is no faster.
template <class Index>
float dot(const float* x, const Index* index, const float* value, int64_t count) {
  float sum[8] = {};
  int64_t i = 0;
  for (; i + kStep <= count; i += kStep) {
    fetch(value + i, kAheadBytes);
    fetch(index + i, kAheadBytes * sizeof(Index) / sizeof(float));
    for (int64_t j = 0; j < kStep; ++j) sum[j % 8] += value[i + j] * x[index[i + j]];
  }
  for (; i < count; ++i) sum[i % 8] += value[i] * x[index[i]];
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

}  // namespace

ShortInputs::ShortInputs(const SparseWeights& weights) {
  if (weights.shape.inputs <= int64_t{UINT16_MAX} + 1) inputs_.assign(weights.channel.begin(), weights.channel.end());
}

void run_gemm_row(const SparseWeights& weights, const ShortInputs& inputs, const Kernels& kernels,
                  const GemmTensors& tensors, int64_t row, int64_t first, int64_t last) {
  const float* x = tensors.x + row * weights.shape.inputs;
  for (int64_t o = first; o < last; ++o) {
    const int64_t begin = weights.row[static_cast<size_t>(o)];
    const int64_t count = weights.row[static_cast<size_t>(o) + 1] - begin;
    const float* value = weights.value.data() + begin;
    const float product = inputs.data() != nullptr ? dot(x, inputs.data() + begin, value, count)
                                                   : dot(x, weights.channel.data() + begin, value, count);
    const int64_t at = row * weights.shape.outputs + o;
    const float sum = tensors.bias[o] + product;
    tensors.y[at] = tensors.residual != nullptr ? sum + tensors.residual[at] : sum;  // y may be the residual
  }
  kernels.activate(tensors.activation, tensors.y + row * weights.shape.outputs + first, last - first);
}

void run_rows(const ort::Invocation& invocation, const SparseWeights& weights, const ShortInputs& inputs,
              const Kernels& kernels, const GemmTensors& tensors, ThreadCount& threads) {
  const int64_t outputs = weights.shape.outputs;
  const bool large = weights.nnz() * tensors.rows >= kWorthProducts;
  const int64_t chunks = large ? std::min(kChunks, outputs) : 1;
  run_tasks(invocation, {0, tensors.rows * chunks}, large, threads, [&](int64_t task) {
    const int64_t chunk = task % chunks;
    run_gemm_row(weights, inputs, kernels, tensors, task / chunks, outputs * chunk / chunks,
                 outputs * (chunk + 1) / chunks);
  });
}

}  // namespace n2n
