// The sparse multiply: R vectors of output pixels stay in registers while one output channel's non-zeros stream past.
//
//   sum[r] += value * x[offset + r * lanes]
//
// One vector load per multiply-add is all that unstructured sparsity allows; everything else is kept off the load
// ports: four non-zeros share one 8-byte load of offsets and one 16-byte load of values, spread inside registers.
// Where four neighbouring output channels share their positions, one load serves four multiply-adds.
//
// Included by each instruction set's translation unit after its Simd and the activations; everything has internal
// linkage.
#pragma once

#include "kernels.h"

namespace {

using n2n::BlockRecord;
using n2n::ComputeJob;
using n2n::Record;
using n2n::Run;

#define N2N_INLINE inline __attribute__((always_inline))
// Arrays of vectors stay in registers only if every loop over them is unrolled.
#define N2N_UNROLL _Pragma("GCC unroll 16")

constexpr int kPrefetchBytes = 768;  // the hardware prefetcher stops at pages and is disturbed by the pixel stream

enum class Epilogue { kPartial, kContiguous, kMasked };

constexpr int vector_shift() {
  int shift = 2;
  while ((4 << (shift - 2)) < Simd::kLanes * 4) ++shift;
  return shift;
}

N2N_INLINE uint64_t load_offsets(const uint16_t* offsets) {
  uint64_t packed;
  __builtin_memcpy(&packed, offsets, sizeof(packed));
  return packed;
}

template <int J, int Shift>
N2N_INLINE const float* input_at(const float* x, uint64_t offsets) {
  const uint64_t offset = (offsets >> (16 * J)) & 0xFFFF;
  return reinterpret_cast<const float*>(reinterpret_cast<const char*>(x) + (offset << Shift));
}

// Compacts the lanes of mask to the front where the instruction set has no instruction for it.
N2N_INLINE Simd::Reg compact(Simd::Reg v, uint32_t mask) {
  if ((mask & (mask + 1)) == 0) return v;
  if (Simd::kCompresses) return Simd::compress(v, mask);
  float from[Simd::kLanes];
  float to[Simd::kLanes] = {};
  Simd::store(from, v);
  int n = 0;
  for (int lane = 0; lane < Simd::kLanes; ++lane) {
    if ((mask >> lane & 1U) != 0) to[n++] = from[lane];
  }
  return Simd::load(to);
}

template <int R>
N2N_INLINE void start(const ComputeJob& job, int64_t channel, Simd::Reg (&sum)[R]) {
  if (job.first_tile) {
    const Simd::Reg bias = Simd::broadcast(job.bias[channel]);
    N2N_UNROLL
    for (int r = 0; r < R; ++r) sum[r] = bias;
  } else {
    const float* partial = job.partial + channel * R * Simd::kLanes;
    N2N_UNROLL
    for (int r = 0; r < R; ++r) sum[r] = Simd::load(partial + r * Simd::kLanes);
  }
}

template <int R, Epilogue E>
N2N_INLINE void finish(const ComputeJob& job, int64_t channel, Simd::Reg (&sum)[R]) {
  if (E == Epilogue::kPartial) {
    float* partial = job.partial + channel * R * Simd::kLanes;
    N2N_UNROLL
    for (int r = 0; r < R; ++r) Simd::store(partial + r * Simd::kLanes, sum[r]);
    return;
  }
  float* y = job.y + channel * job.channel_stride;
  const float* residual = job.residual == nullptr ? nullptr : job.residual + channel * job.channel_stride;
  if (E == Epilogue::kContiguous) {
    const int64_t begin = job.targets[0].destination;
    if (residual != nullptr) {
      N2N_UNROLL
      for (int r = 0; r < R; ++r) sum[r] = Simd::add(sum[r], Simd::load(residual + begin + r * Simd::kLanes));
    }
    activate_registers<R>(job.activation, sum);
    N2N_UNROLL
    for (int r = 0; r < R; ++r) Simd::store(y + begin + r * Simd::kLanes, sum[r]);
    return;
  }
  N2N_UNROLL
  for (int r = 0; r < R; ++r) {
    const n2n::Target& target = job.targets[r];
    sum[r] = compact(sum[r], target.mask);
    if (residual == nullptr) continue;
    sum[r] = Simd::add(sum[r], Simd::load_first(residual + target.destination, __builtin_popcount(target.mask)));
  }
  activate_registers<R>(job.activation, sum);
  N2N_UNROLL
  for (int r = 0; r < R; ++r) {
    Simd::store_first(y + job.targets[r].destination, sum[r], __builtin_popcount(job.targets[r].mask));
  }
}

template <int J, int R, int Shift>
N2N_INLINE void accumulate(const float* x, uint64_t offsets, Simd::Reg quad, Simd::Reg (&sum)[R]) {
  const float* input = input_at<J, Shift>(x, offsets);
  const Simd::Reg weight = Simd::weight<J>(quad);
  N2N_UNROLL
  for (int r = 0; r < R; ++r) sum[r] = Simd::fma(weight, Simd::load(input + r * Simd::kLanes), sum[r]);
}

// Few vectors alone would wait for each other's additions, so rows of weights of equal length go side by side. Every sum
// has one order, that of its weights: no tiling and no number of threads changes a result.
template <int R>
constexpr int rows_together() {
  return R <= 2 ? 4 : R <= 5 ? 2 : 1;
}

// N output channels with `whole` full records each, and one more of `rest` weights if that is not 0.
template <int R, int Shift, Epilogue E, int N>
N2N_INLINE void compute_group(const ComputeJob& job, const int32_t* channels, const Record* record, int whole,
                              int rest) {
  const float* const x = job.x;
  const int stride = whole + (rest != 0 ? 1 : 0);
  Simd::Reg sum[N][R];
  N2N_UNROLL
  for (int n = 0; n < N; ++n) start<R>(job, channels[n], sum[n]);
  for (int i = 0; i < whole; ++i, ++record) {
    N2N_UNROLL
    for (int n = 0; n < N; ++n) {
      const Record* const at = record + n * stride;
      __builtin_prefetch(reinterpret_cast<const char*>(at) + kPrefetchBytes);
      const uint64_t offsets = load_offsets(at->offset);
      const Simd::Reg quad = Simd::quad(at->value);
      accumulate<0, R, Shift>(x, offsets, quad, sum[n]);
      accumulate<1, R, Shift>(x, offsets, quad, sum[n]);
      accumulate<2, R, Shift>(x, offsets, quad, sum[n]);
      accumulate<3, R, Shift>(x, offsets, quad, sum[n]);
    }
  }
  if (rest != 0) {
    N2N_UNROLL
    for (int n = 0; n < N; ++n) {
      const Record* const at = record + n * stride;
      const uint64_t offsets = load_offsets(at->offset);
      const Simd::Reg quad = Simd::quad(at->value);
      accumulate<0, R, Shift>(x, offsets, quad, sum[n]);
      if (rest > 1) accumulate<1, R, Shift>(x, offsets, quad, sum[n]);
      if (rest > 2) accumulate<2, R, Shift>(x, offsets, quad, sum[n]);
    }
  }
  N2N_UNROLL
  for (int n = 0; n < N; ++n) finish<R, E>(job, channels[n], sum[n]);
}

// Output channels without weights or residual: one value each.
template <int R>
void fill_rows(const ComputeJob& job, const Run& run) {
  for (int32_t slot = run.first; slot < run.last; ++slot) {
    const int64_t channel = job.channels[slot];
    Simd::Reg value[1] = {Simd::broadcast(job.bias[channel])};
    activate_registers<1>(job.activation, value);
    float* y = job.y + channel * job.channel_stride + job.targets[0].destination;
    N2N_UNROLL
    for (int r = 0; r < R; ++r) Simd::store(y + r * Simd::kLanes, value[0]);
  }
}

template <int R, int Shift, Epilogue E>
void compute_rows(const ComputeJob& job) {
  constexpr int kTogether = rows_together<R>();
  for (int64_t run_index = 0; run_index < job.run_count; ++run_index) {
    const Run run = job.runs[run_index];
    if (E == Epilogue::kContiguous && run.count == 0 && job.first_tile && job.residual == nullptr) {
      fill_rows<R>(job, run);
      continue;
    }
    const Record* record = job.records + run.record;
    const int whole = run.count / 4;
    const int rest = run.count % 4;
    const int stride = whole + (rest != 0 ? 1 : 0);
    int32_t slot = run.first;
    if (kTogether > 1) {
      for (; slot + kTogether <= run.last; slot += kTogether, record += kTogether * stride) {
        compute_group<R, Shift, E, kTogether>(job, job.channels + slot, record, whole, rest);
      }
    }
    for (; slot < run.last; ++slot, record += stride) {
      compute_group<R, Shift, E, 1>(job, job.channels + slot, record, whole, rest);
    }
  }
}

template <int J, int R, int Shift>
N2N_INLINE void accumulate_block(const float* x, uint64_t offsets, const BlockRecord* record,
                                 Simd::Reg (&sum)[4][R]) {
  const float* input = input_at<J, Shift>(x, offsets);
  const Simd::Reg quad = Simd::quad(record->value[J]);
  const Simd::Reg w0 = Simd::weight<0>(quad);
  const Simd::Reg w1 = Simd::weight<1>(quad);
  const Simd::Reg w2 = Simd::weight<2>(quad);
  const Simd::Reg w3 = Simd::weight<3>(quad);
  N2N_UNROLL
  for (int r = 0; r < R; ++r) {
    const Simd::Reg pixels = Simd::load(input + r * Simd::kLanes);
    sum[0][r] = Simd::fma(w0, pixels, sum[0][r]);
    sum[1][r] = Simd::fma(w1, pixels, sum[1][r]);
    sum[2][r] = Simd::fma(w2, pixels, sum[2][r]);
    sum[3][r] = Simd::fma(w3, pixels, sum[3][r]);
  }
}

template <int R, int Shift, Epilogue E>
void compute_blocks(const ComputeJob& job) {
  const float* const x = job.x;
  for (int64_t run_index = 0; run_index < job.block_run_count; ++run_index) {
    const Run run = job.block_runs[run_index];
    const BlockRecord* record = job.block_records + run.record;
    const int whole = run.count / 4;
    const int rest = run.count % 4;
    for (int32_t slot = run.first; slot < run.last; ++slot) {
      const int64_t channel = job.block_channels[slot];
      Simd::Reg sum[4][R];
      N2N_UNROLL
      for (int k = 0; k < 4; ++k) start<R>(job, channel + k, sum[k]);
      for (int i = 0; i < whole; ++i, ++record) {
        __builtin_prefetch(reinterpret_cast<const char*>(record) + kPrefetchBytes);
        const uint64_t offsets = load_offsets(record->offset);
        accumulate_block<0, R, Shift>(x, offsets, record, sum);
        accumulate_block<1, R, Shift>(x, offsets, record, sum);
        accumulate_block<2, R, Shift>(x, offsets, record, sum);
        accumulate_block<3, R, Shift>(x, offsets, record, sum);
      }
      if (rest != 0) {
        const uint64_t offsets = load_offsets(record->offset);
        accumulate_block<0, R, Shift>(x, offsets, record, sum);
        if (rest > 1) accumulate_block<1, R, Shift>(x, offsets, record, sum);
        if (rest > 2) accumulate_block<2, R, Shift>(x, offsets, record, sum);
        ++record;
      }
      N2N_UNROLL
      for (int k = 0; k < 4; ++k) finish<R, E>(job, channel + k, sum[k]);
    }
  }
}

template <int R, int Shift, Epilogue E>
void compute_both(const ComputeJob& job) {
  if constexpr (R <= Simd::kMaxBlockRegisters) {
    if (job.block_run_count != 0) compute_blocks<R, Shift, E>(job);
  }
  if (job.run_count != 0) compute_rows<R, Shift, E>(job);
}

template <int R, int Shift>
void compute_registers(const ComputeJob& job) {
  if (!job.last_tile) return compute_both<R, Shift, Epilogue::kPartial>(job);
  if (job.contiguous) return compute_both<R, Shift, Epilogue::kContiguous>(job);
  return compute_both<R, Shift, Epilogue::kMasked>(job);
}

template <int R>
void compute_at_most(const ComputeJob& job) {
  if constexpr (R > 1) {
    if (job.registers < R) return compute_at_most<R - 1>(job);
  }
  if (job.scaled) return compute_registers<R, vector_shift()>(job);
  return compute_registers<R, 2>(job);
}

void compute(const ComputeJob& job) { compute_at_most<Simd::kMaxRegisters>(job); }

}  // namespace
