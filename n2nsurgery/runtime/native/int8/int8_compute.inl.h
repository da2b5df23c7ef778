// Sums of products of levels, and how they become levels again. Included after an Int8Simd; internal linkage.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "int8_kernels.h"

// Arrays of vectors stay in registers only if every loop over them is unrolled.
#define N2N_UNROLL _Pragma("GCC unroll 16")

namespace {

using n2n::Int8Block;
using n2n::Int8Job;
using n2n::Stretch;

// Most stretches are rows of a few pixels: a call of memcpy would take longer than what it copies.
inline __attribute__((always_inline)) void copy_few(uint8_t* target, const uint8_t* source, int64_t count) {
  const auto copy = [&](auto whole) {
    constexpr int64_t kStep = sizeof(whole);
    for (int64_t i = 0; i + kStep < count; i += kStep) std::memcpy(target + i, source + i, kStep);
    std::memcpy(target + count - kStep, source + count - kStep, kStep);  // may copy some again
  };
  if (count >= 16) return copy(std::array<uint8_t, 16>{});
  if (count >= 8) return copy(std::array<uint8_t, 8>{});
  if (count >= 4) return copy(std::array<uint8_t, 4>{});
  for (int64_t i = 0; i < count; ++i) target[i] = source[i];
}

// Copies the stretches of one output out of a line of results, or the residual's into it.
template <bool Out, class Results>
void copy_stretches(const Int8Job& job, Results* results, uint8_t* line) {
  for (int64_t i = 0; i < job.stretch_count; ++i) {
    const Stretch& stretch = job.stretches[i];
    if constexpr (Out) {
      copy_few(results + stretch.to, line + stretch.from, stretch.count);
    } else {
      copy_few(line + stretch.from, results + stretch.to, stretch.count);
    }
  }
}

// Sums become what they and the residual's levels add up to, less the zero.
template <int Vectors>
inline __attribute__((always_inline)) void add_residual(const Int8Job& job, Int8Simd::Reg (&sums)[Vectors],
                                                        Int8Simd::Floats multiplier, const uint8_t* residual) {
  const auto low = Int8Simd::floats(static_cast<float>(-job.zero));
  const auto high = Int8Simd::floats(static_cast<float>(255 - job.zero));
  const auto own = Int8Simd::floats(job.sum.own);
  const auto other = Int8Simd::floats(job.sum.other);
  const auto other_zero = Int8Simd::integers(job.sum.other_zero);
  N2N_UNROLL
  for (int i = 0; i < Vectors; ++i) {
    const auto mine = Int8Simd::rounded_within(sums[i], multiplier, low, high);
    const auto theirs = Int8Simd::levels_from(residual + i * Int8Simd::kLanes, other_zero);
    sums[i] = Int8Simd::rounded_sum(mine, own, theirs, other);
  }
}

template <int Vectors, bool Residual>
void finish(const Int8Job& job, int64_t output, Int8Simd::Reg (&sums)[Vectors]) {
  alignas(64) uint8_t line[Vectors * Int8Simd::kLanes];
  uint8_t* y = job.y + output * job.output_stride;
  const auto multiplier = Int8Simd::floats(job.multiplier[output]);
  if constexpr (Residual) {
    const uint8_t* residual = job.residual + output * job.output_stride;
    if (!job.whole) {
      alignas(64) uint8_t beside[Vectors * Int8Simd::kLanes] = {};
      copy_stretches<false>(job, residual, beside);
      add_residual(job, sums, multiplier, beside);
    } else {
      add_residual(job, sums, multiplier, residual + job.stretches[0].to);
    }
  } else {
    N2N_UNROLL
    for (auto& sum : sums) sum = Int8Simd::rounded(sum, multiplier);
  }
  const int32_t zero = Residual ? job.sum.zero : job.zero;
  if (job.whole) {
    Int8Simd::store(y + job.stretches[0].to, sums, zero);
  } else {
    Int8Simd::store(line, sums, zero);
    copy_stretches<true>(job, y, line);
  }
}

template <int Vectors, bool Residual>
void compute_outputs(const Int8Job& job) {
  const Int8Block* block = job.blocks + job.row[job.first];
  for (int64_t output = job.first; output < job.last; ++output) {
    Int8Simd::Reg sums[Vectors];
    N2N_UNROLL
    for (auto& sum : sums) sum = Int8Simd::integers(job.start[output]);
    for (const Int8Block* end = job.blocks + job.row[output + 1]; block != end; ++block) {
      const auto weights = Int8Simd::weights(block->weight);
      const uint8_t* x = job.x + block->offset;
      N2N_UNROLL
      for (int i = 0; i < Vectors; ++i) sums[i] = Int8Simd::dot(sums[i], x + i * Int8Simd::kLanes * 4, weights);
    }
    finish<Vectors, Residual>(job, output, sums);
  }
}

template <int Vectors>
void compute_vectors(const Int8Job& job) {
  job.residual == nullptr ? compute_outputs<Vectors, false>(job) : compute_outputs<Vectors, true>(job);
}

template <size_t... Index>
constexpr std::array<void (*)(const Int8Job&), sizeof...(Index)> computers(std::index_sequence<Index...> /*all*/) {
  return {compute_vectors<static_cast<int>(Index) + 1>...};
}

void compute(const Int8Job& job) {
  static constexpr auto kComputers = computers(std::make_index_sequence<Int8Simd::kMaxVectors>());
  kComputers[static_cast<size_t>(job.vectors - 1)](job);
}

// packed[4 i + c] = channels[c][i]. What is behind, up to `readable` and a vector's length of `packed`, may be touched.
void interleave(const uint8_t* const (&channels)[4], uint8_t* packed, int64_t pixels, int64_t readable) {
  int64_t i = 0;
  for (; i < pixels && i + Int8Simd::kInterleaved <= readable; i += Int8Simd::kInterleaved) {
    Int8Simd::interleave(channels, i, packed + 4 * i);
  }
  for (; i < pixels; ++i) {
    for (int c = 0; c < 4; ++c) packed[4 * i + c] = channels[c][i];
  }
}

}  // namespace
