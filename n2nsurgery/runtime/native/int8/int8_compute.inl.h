// Sums of products of levels, and how they become levels again. Included after an Int8Simd; internal linkage.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "int8_kernels.h"

namespace {

using n2n::Int8Block;
using n2n::Int8Job;
using n2n::Stretch;

// Copies the stretches of one output out of a line of results, or the residual's into it.
template <bool Out, class Results>
void copy_stretches(const Int8Job& job, Results* results, uint8_t* line) {
  for (int64_t i = 0; i < job.stretch_count; ++i) {
    const Stretch& stretch = job.stretches[i];
    if constexpr (Out) {
      std::memcpy(results + stretch.to, line + stretch.from, static_cast<size_t>(stretch.count));
    } else {
      std::memcpy(line + stretch.from, results + stretch.to, static_cast<size_t>(stretch.count));
    }
  }
}

template <int Vectors>
void add_residual(const Int8Job& job, Int8Simd::Reg (&levels)[Vectors], const uint8_t* residual) {
  const auto own = Int8Simd::floats(job.sum.own);
  const auto other = Int8Simd::floats(job.sum.other);
  const auto zero = Int8Simd::integers(job.zero);
  const auto other_zero = Int8Simd::integers(job.sum.other_zero);
  const auto sum_zero = Int8Simd::integers(job.sum.zero);
  for (int i = 0; i < Vectors; ++i) {
    const auto mine = Int8Simd::subtract(Int8Simd::clamp(levels[i]), zero);
    const auto theirs = Int8Simd::subtract(Int8Simd::load_levels(residual + i * Int8Simd::kLanes), other_zero);
    levels[i] = Int8Simd::rounded_sum(mine, own, theirs, other, sum_zero);
  }
}

template <int Vectors>
void compute_vectors(const Int8Job& job) {
  alignas(64) uint8_t line[Vectors * Int8Simd::kLanes];
  alignas(64) uint8_t beside[Vectors * Int8Simd::kLanes] = {};
  const auto zero = Int8Simd::integers(job.zero);
  const Int8Block* block = job.blocks + job.row[job.first];
  for (int64_t output = job.first; output < job.last; ++output) {
    Int8Simd::Reg sums[Vectors];
    for (auto& sum : sums) sum = Int8Simd::integers(job.start[output]);
    for (const Int8Block* end = job.blocks + job.row[output + 1]; block != end; ++block) {
      const auto weights = Int8Simd::weights(block->weight);
      const uint8_t* x = job.x + block->offset;
      for (int i = 0; i < Vectors; ++i) sums[i] = Int8Simd::dot(sums[i], x + i * Int8Simd::kLanes * 4, weights);
    }
    const auto multiplier = Int8Simd::floats(job.multiplier[output]);
    for (auto& sum : sums) sum = Int8Simd::rounded(sum, multiplier, zero);
    uint8_t* y = job.y + output * job.output_stride;
    const uint8_t* residual = job.residual == nullptr ? nullptr : job.residual + output * job.output_stride;
    if (job.whole) {
      const int64_t at = job.stretches[0].to;
      if (residual != nullptr) add_residual(job, sums, residual + at);
      Int8Simd::store(y + at, sums);
      continue;
    }
    if (residual != nullptr) {
      copy_stretches<false>(job, residual, beside);
      add_residual(job, sums, beside);
    }
    Int8Simd::store(line, sums);
    copy_stretches<true>(job, y, line);
  }
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
