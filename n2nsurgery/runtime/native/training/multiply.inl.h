// The inner loops of training: a block of places stays in registers while one channel's kept weights stream past.
//
//   multiply:         sum[v]      += value[k] * packed[offset[k] + v]
//   weight gradient:  sums[k]     += sum over v of gradient[v] * packed[offset[k] + v]
//
// Both load one vector for each multiply-add, always aligned. Included after a Simd and its sums of lanes.
#pragma once

#include <utility>

#include "put.inl.h"
#include "training_kernels.h"

namespace {

using n2n::training::MultiplyJob;
using n2n::training::WeightJob;

#define N2N_INLINE inline __attribute__((always_inline))
#define N2N_UNROLL _Pragma("GCC unroll 16")

N2N_INLINE const float* at_offset(const float* packed, int32_t offset) {
  return reinterpret_cast<const float*>(reinterpret_cast<const char*>(packed) + offset);
}

template <int V>
N2N_INLINE void begin_sums(const MultiplyJob& job, int64_t channel, Simd::Reg (&sum)[V]) {
  if (job.first_tile) {
    const Simd::Reg bias = job.bias == nullptr ? Simd::zero() : Simd::broadcast(job.bias[channel]);
    N2N_UNROLL
    for (int v = 0; v < V; ++v) sum[v] = bias;
  } else {
    const float* partial = job.partial + (channel - job.first) * V * Simd::kLanes;
    N2N_UNROLL
    for (int v = 0; v < V; ++v) sum[v] = Simd::load(partial + v * Simd::kLanes);
  }
}

template <int V>
N2N_INLINE void end_sums(const MultiplyJob& job, int64_t channel, Simd::Reg (&sum)[V]) {
  if (!job.last_tile) {
    float* partial = job.partial + (channel - job.first) * V * Simd::kLanes;
    N2N_UNROLL
    for (int v = 0; v < V; ++v) Simd::store(partial + v * Simd::kLanes, sum[v]);
    return;
  }
  if (job.relu) {
    N2N_UNROLL
    for (int v = 0; v < V; ++v) sum[v] = Simd::at_least(Simd::zero(), sum[v]);
  }
  float* target = job.target + channel * job.channel_stride;
  if (job.places->whole) {
    N2N_UNROLL
    for (int v = 0; v < V; ++v) put(job.stream, target + job.places->at[v], sum[v]);
    return;
  }
  N2N_UNROLL
  for (int v = 0; v < V; ++v) {
    if (job.places->lanes[v] > 0) Simd::store_first(target + job.places->at[v], sum[v], job.places->lanes[v]);
  }
}

template <int Rows, int Run>
N2N_INLINE void add_product(const MultiplyJob& job, int32_t k, Simd::Reg (&sum)[Rows * Run]) {
  const float* x = at_offset(job.packed, job.offset[k]);
  const Simd::Reg value = Simd::broadcast(job.value[k]);
  N2N_UNROLL
  for (int r = 0; r < Rows; ++r) {
    const float* row = x + r * job.row_pitch;
    N2N_UNROLL
    for (int c = 0; c < Run; ++c) {
      sum[r * Run + c] = Simd::fma(value, Simd::load(row + c * Simd::kLanes), sum[r * Run + c]);
    }
  }
}

// Few vectors make short chains of dependent sums only if they are split.
template <int Rows, int Run>
void multiply_block(const MultiplyJob& job) {
  constexpr int V = Rows * Run;
  constexpr int kChains = V <= 2 ? 4 : V <= 6 ? 2 : 1;
  for (int64_t channel = job.first; channel < job.last; ++channel) {
    Simd::Reg sum[kChains][V];
    begin_sums<V>(job, channel, sum[0]);
    N2N_UNROLL
    for (int c = 1; c < kChains; ++c) {
      N2N_UNROLL
      for (int v = 0; v < V; ++v) sum[c][v] = Simd::zero();
    }
    int32_t k = job.start[channel];
    const int32_t end = job.start[channel + 1];
    for (; k + kChains <= end; k += kChains) {
      N2N_UNROLL
      for (int c = 0; c < kChains; ++c) add_product<Rows, Run>(job, k + c, sum[c]);
    }
    for (; k < end; ++k) add_product<Rows, Run>(job, k, sum[0]);
    N2N_UNROLL
    for (int c = 1; c < kChains; ++c) {
      N2N_UNROLL
      for (int v = 0; v < V; ++v) sum[0][v] = Simd::add(sum[0][v], sum[c][v]);
    }
    end_sums<V>(job, channel, sum[0]);
  }
}

// The sum over a block for one kept weight, still by lane; four chains.
template <int Rows, int Run>
N2N_INLINE Simd::Reg block_product(const WeightJob& job, int32_t k, const Simd::Reg (&gradient)[Rows * Run]) {
  const float* x = at_offset(job.packed, job.offset[k]);
  Simd::Reg sum[4] = {Simd::zero(), Simd::zero(), Simd::zero(), Simd::zero()};
  N2N_UNROLL
  for (int r = 0; r < Rows; ++r) {
    const float* row = x + r * job.row_pitch;
    N2N_UNROLL
    for (int c = 0; c < Run; ++c) {
      const int v = r * Run + c;
      sum[v % 4] = Simd::fma(gradient[v], Simd::load(row + c * Simd::kLanes), sum[v % 4]);
    }
  }
  return Simd::add(Simd::add(sum[0], sum[1]), Simd::add(sum[2], sum[3]));
}

template <int Rows, int Run>
void weight_block(const WeightJob& job) {
  constexpr int V = Rows * Run;
  constexpr int64_t kAhead = 3;  // channels whose gradients are fetched meanwhile
  alignas(64) float held[Simd::kLanes * Simd::kLanes] = {};
  int count = 0;
  float* sums = job.sums + job.start[job.first];
  for (int64_t channel = job.first; channel < job.last; ++channel) {
    const float* block = job.gradient + (channel - job.first) * job.channel_stride;
    if (channel + kAhead < job.last) {
      N2N_UNROLL
      for (int v = 0; v < V; ++v) __builtin_prefetch(block + kAhead * job.channel_stride + job.at[v]);
    }
    const int32_t end = job.start[channel + 1];
    if (job.start[channel] == end) continue;
    Simd::Reg gradient[V];
    N2N_UNROLL
    for (int v = 0; v < V; ++v) gradient[v] = Simd::load(block + job.at[v]);
    for (int32_t k = job.start[channel]; k < end; ++k) {
      Simd::store(held + count * Simd::kLanes, block_product<Rows, Run>(job, k, gradient));
      if (++count < Simd::kLanes) continue;
      Simd::store(sums, Simd::add(Simd::load(sums), sums_of_lanes(held)));
      sums += Simd::kLanes;
      count = 0;
    }
  }
  if (count == 0) return;
  const Simd::Reg last = Simd::add(Simd::load_first(sums, count), sums_of_lanes(held));
  Simd::store_first(sums, last, count);
}

template <typename Job>
using BlockFunction = void (*)(const Job&);

template <int Rows, int... Run>
N2N_INLINE void multiply_row(int run, const MultiplyJob& job, std::integer_sequence<int, Run...>) {
  static constexpr BlockFunction<MultiplyJob> functions[] = {multiply_block<Rows, Run + 1>...};
  functions[run - 1](job);
}

template <int Rows, int... Run>
N2N_INLINE void weight_row(int run, const WeightJob& job, std::integer_sequence<int, Run...>) {
  static constexpr BlockFunction<WeightJob> functions[] = {weight_block<Rows, Run + 1>...};
  functions[run - 1](job);
}

void multiply(int rows, int run, const MultiplyJob& job) {
  constexpr int kMost = kMultiplyVectors;
  switch (rows) {
    case 1: return multiply_row<1>(run, job, std::make_integer_sequence<int, kMost>());
    case 2: return multiply_row<2>(run, job, std::make_integer_sequence<int, kMost / 2>());
    case 3: return multiply_row<3>(run, job, std::make_integer_sequence<int, kMost / 3>());
    default: return multiply_row<4>(run, job, std::make_integer_sequence<int, kMost / 4>());
  }
}

void weight_gradient(int rows, int run, const WeightJob& job) {
  constexpr int kMost = kWeightVectors;
  switch (rows) {
    case 1: return weight_row<1>(run, job, std::make_integer_sequence<int, kMost>());
    case 2: return weight_row<2>(run, job, std::make_integer_sequence<int, kMost / 2>());
    case 3: return weight_row<3>(run, job, std::make_integer_sequence<int, kMost / 3>());
    default: return weight_row<4>(run, job, std::make_integer_sequence<int, kMost / 4>());
  }
}

}  // namespace
