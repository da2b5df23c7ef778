// What the programs here share: a clock, and layers with random weights.
#pragma once

#include <cstdint>
#include <ctime>
#include <random>
#include <vector>

#include "weights.h"

namespace n2n {

// CPU time of the thread: other work on the machine does not count.
inline double now() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Kept at random; with `block4`, four neighbouring outputs keep the same positions.
inline SparseWeights random_weights(const WeightShape& shape, double density, bool block4, std::mt19937& random) {
  std::uniform_real_distribution<float> uniform;
  std::normal_distribution<float> normal;
  const int64_t row = shape.inputs * shape.taps;
  std::vector<uint8_t> bits(static_cast<size_t>((shape.outputs * row + 7) / 8));
  std::vector<float> values;
  std::vector<uint8_t> present(static_cast<size_t>(row));
  for (int64_t o = 0; o < shape.outputs; ++o) {
    if (!block4 || o % 4 == 0) for (auto& p : present) p = uniform(random) < density;
    for (int64_t i = 0; i < row; ++i) {
      if (!present[i]) continue;
      bits[(o * row + i) / 8] |= 1 << ((o * row + i) % 8);
      values.push_back(normal(random));
    }
  }
  CodedWeights coded;
  coded.positions = bits.data();
  coded.position_count = bits.size();
  coded.bitmask = true;
  coded.values = values.data();
  coded.value_count = values.size();
  return decode(coded, shape);
}

}  // namespace n2n
