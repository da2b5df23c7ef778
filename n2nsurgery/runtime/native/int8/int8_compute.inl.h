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

// Copies the stretches of a tensor, which has `Bytes` of each pixel, out of a line of them or into it.
template <bool Out, int Bytes, class Results>
void copy_stretches(const Int8Job& job, Results* tensor, uint8_t* line) {
  for (int64_t i = 0; i < job.stretch_count; ++i) {
    const Stretch& stretch = job.stretches[i];
    if constexpr (Out) {
      copy_few(tensor + stretch.to * Bytes, line + stretch.from * Bytes, stretch.count * Bytes);
    } else {
      copy_few(line + stretch.from * Bytes, tensor + stretch.to * Bytes, stretch.count * Bytes);
    }
  }
}

// How a residual lies in memory.
enum class Residual { kNone, kPlain, kPacked };

template <Residual Kind>
constexpr int kResidualBytes = Kind == Residual::kPacked ? 4 : 1;

// A window's vectors in a tensor, or in a line beside it: the first of them, and the last one's first pixel.
struct Vectors {
  const uint8_t* first = nullptr;
  int64_t last = 0;
};

// Whether a window's vectors may be read and written where they belong.
template <int Count, int Bytes>
bool in_place(const Int8Job& job) {
  return job.whole && (Bytes == 4 || job.last_pixel == (Count - 1) * Int8Simd::kLanes);
}

template <int Count, Residual Kind>
inline __attribute__((always_inline)) Vectors residual_vectors(const Int8Job& job, int64_t output, uint8_t* line) {
  constexpr int kBytes = kResidualBytes<Kind>;
  const uint8_t* residual = job.residual + (kBytes == 4 ? output / 4 * 4 : output) * job.output_stride;
  if (in_place<Count, kBytes>(job)) return {residual + job.stretches[0].to * kBytes, job.last_pixel};
  copy_stretches<false, kBytes>(job, residual, line);
  return {line, (Count - 1) * Int8Simd::kLanes};
}

// One vector of a residual's levels, less the zero.
template <Residual Kind>
inline __attribute__((always_inline)) Int8Simd::Floats residual_levels(const Int8Job& job, int64_t output,
                                                                       const uint8_t* at) {
  if constexpr (Kind == Residual::kPlain) return Int8Simd::levels_from(at, Int8Simd::integers(job.sum.other_zero));
  static constexpr int8_t kOnly[4][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}};
  const auto less_zero = Int8Simd::integers(-job.sum.other_zero);
  return Int8Simd::to_floats(Int8Simd::dot(less_zero, at, Int8Simd::weights(kOnly[output % 4])));
}

template <int Count>
inline __attribute__((always_inline)) void sum_products(const Int8Job& job, int64_t output,
                                                        Int8Simd::Reg (&sums)[Count]) {
  N2N_UNROLL
  for (auto& sum : sums) sum = Int8Simd::integers(job.start[output]);
  const Int8Block* end = job.blocks + job.row[output + 1];
  for (const Int8Block* block = job.blocks + job.row[output]; block != end; ++block) {
    const auto weights = Int8Simd::weights(block->weight);
    const uint8_t* x = job.x + block->offset;
    N2N_UNROLL
    for (int i = 0; i < Count - 1; ++i) sums[i] = Int8Simd::dot(sums[i], x + i * Int8Simd::kLanes * 4, weights);
    sums[Count - 1] = Int8Simd::dot(sums[Count - 1], x + job.last_pixel * 4, weights);
  }
}

// Sums become levels less their zero: of the product, or of what the product and the residual add up to.
template <int Count, Residual Kind>
inline __attribute__((always_inline)) void round_sums(const Int8Job& job, int64_t output, const Vectors& residual,
                                                      Int8Simd::Reg (&sums)[Count]) {
  const auto multiplier = Int8Simd::floats(job.multiplier[output]);
  if constexpr (Kind == Residual::kNone) {
    N2N_UNROLL
    for (auto& sum : sums) sum = Int8Simd::rounded(sum, multiplier);
  } else {
    const auto low = Int8Simd::floats(static_cast<float>(-job.zero));
    const auto high = Int8Simd::floats(static_cast<float>(255 - job.zero));
    const auto own = Int8Simd::floats(job.sum.own);
    const auto other = Int8Simd::floats(job.sum.other);
    N2N_UNROLL
    for (int i = 0; i < Count; ++i) {
      const auto mine = Int8Simd::rounded_within(sums[i], multiplier, low, high);
      const int64_t pixel = i + 1 < Count ? i * Int8Simd::kLanes : residual.last;
      const auto theirs = residual_levels<Kind>(job, output, residual.first + pixel * kResidualBytes<Kind>);
      sums[i] = Int8Simd::rounded_sum(mine, own, theirs, other);
    }
  }
}

template <Residual Kind>
int32_t result_zero(const Int8Job& job) {
  return Kind == Residual::kNone ? job.zero : job.sum.zero;
}

template <int Count, Residual Kind>
void compute_plain(const Int8Job& job) {
  alignas(64) uint8_t line[Count * Int8Simd::kLanes];
  alignas(64) uint8_t beside[Count * Int8Simd::kLanes * kResidualBytes<Kind>] = {};
  for (int64_t output = job.first; output < job.last; ++output) {
    Int8Simd::Reg sums[Count];
    sum_products(job, output, sums);
    Vectors residual;
    if constexpr (Kind != Residual::kNone) residual = residual_vectors<Count, Kind>(job, output, beside);
    round_sums<Count, Kind>(job, output, residual, sums);
    uint8_t* y = job.y + output * job.output_stride;
    if (in_place<Count, 1>(job)) {
      Int8Simd::store(y + job.stretches[0].to, sums, result_zero<Kind>(job));
    } else {
      Int8Simd::store(line, sums, result_zero<Kind>(job));
      copy_stretches<true, 1>(job, y, line);
    }
  }
}

// The results of two neighbouring outputs.
template <int Count, Residual Kind>
inline __attribute__((always_inline)) void compute_pair(const Int8Job& job, int64_t output, Vectors residual,
                                                        uint8_t* beside, Int8Simd::Pair (&pairs)[Count]) {
  Int8Simd::Reg sums[2][Count];
  N2N_UNROLL
  for (int i = 0; i < 2; ++i) {
    sum_products(job, output + i, sums[i]);
    if constexpr (Kind == Residual::kPlain) residual = residual_vectors<Count, Kind>(job, output + i, beside);
    round_sums<Count, Kind>(job, output + i, residual, sums[i]);
  }
  N2N_UNROLL
  for (int i = 0; i < Count; ++i) pairs[i] = Int8Simd::pair(sums[0][i], sums[1][i], result_zero<Kind>(job));
}

template <int Count, Residual Kind>
void compute_packed(const Int8Job& job) {
  alignas(64) uint8_t line[Count * Int8Simd::kLanes * 4];
  alignas(64) uint8_t beside[Count * Int8Simd::kLanes * kResidualBytes<Kind>] = {};
  const bool there = in_place<Count, 4>(job);
  for (int64_t output = job.first; output < job.last; output += 4) {
    Vectors residual;
    if constexpr (Kind == Residual::kPacked) residual = residual_vectors<Count, Kind>(job, output, beside);
    Int8Simd::Pair pairs[2][Count];
    compute_pair<Count, Kind>(job, output, residual, beside, pairs[0]);
    compute_pair<Count, Kind>(job, output + 2, residual, beside, pairs[1]);
    uint8_t* y = job.y + output * job.output_stride;
    uint8_t* target = there ? y + job.stretches[0].to * 4 : line;
    N2N_UNROLL
    for (int i = 0; i < Count; ++i) {
      const int64_t pixel = i + 1 < Count || !there ? i * Int8Simd::kLanes : job.last_pixel;
      Int8Simd::store_packed(target + pixel * 4, pairs[0][i], pairs[1][i]);
    }
    if (!there) copy_stretches<true, 4>(job, y, line);
  }
}

template <int Count>
void compute_vectors(const Int8Job& job) {
  if (job.residual == nullptr) {
    job.packed.y ? compute_packed<Count, Residual::kNone>(job) : compute_plain<Count, Residual::kNone>(job);
  } else if (job.packed.residual) {
    job.packed.y ? compute_packed<Count, Residual::kPacked>(job) : compute_plain<Count, Residual::kPacked>(job);
  } else {
    job.packed.y ? compute_packed<Count, Residual::kPlain>(job) : compute_plain<Count, Residual::kPlain>(job);
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
