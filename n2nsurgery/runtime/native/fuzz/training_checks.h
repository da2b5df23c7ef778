// What training's fuzz driver draws and checks beside plain loops.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "training/conv_shape.h"

namespace n2n::training {

constexpr int64_t kMostFloats = 1 << 19;

// Exactly as long as asked for, so that the sanitizer sees the first float beyond; `shift` floats behind a cache line.
struct Floats {
  Floats(int64_t count, int64_t shift)
      : size(count), first(shift), data(new (kLine) float[static_cast<size_t>(count + shift)]) {}
  static constexpr std::align_val_t kLine{64};
  struct Free {
    void operator()(float* pointer) const { ::operator delete[](pointer, kLine); }
  };
  int64_t size;
  int64_t first;
  std::unique_ptr<float[], Free> data;
  float* get() const { return data.get() + first; }
};

inline bool small(const ConvShape& shape) {
  for (size_t axis = 0; axis < 3; ++axis) {
    if (shape.input[axis] < 1 || shape.output[axis] < 1 || shape.kernel[axis] < 1) return false;
    if (shape.input[axis] > 200 || shape.output[axis] > 200 || shape.kernel[axis] > 200) return false;
  }
  if (shape.batch < 0 || shape.batch > 100 || shape.inputs < 1 || shape.outputs < 1 || shape.groups < 1) return false;
  if (shape.inputs > 1000 || shape.outputs > 1000) return false;
  const int64_t most = std::max(volume(shape.input) * shape.inputs, volume(shape.output) * shape.outputs);
  return most * std::max<int64_t>(1, shape.batch) <= kMostFloats && shape.taps() <= 4096;
}

// y: the ReLU of `plain`, to the bit, since both have the same sums; `passed`: what it lets pass of dy.
inline void require_relu(const Floats& plain, const Floats& y, const Floats& dy, const Floats& passed) {
  for (int64_t i = 0; i < y.size; ++i) {
    if (y.get()[i] != std::max(plain.get()[i], 0.0F)) std::abort();
    if (passed.get()[i] != (y.get()[i] > 0.0F ? dy.get()[i] : 0.0F)) std::abort();
  }
}

// db: the sum of dy over each channel.
inline void require_sums(const Floats& dy, const Floats& db) {
  const int64_t count = dy.size / db.size;
  for (int64_t c = 0; c < db.size; ++c) {
    double sum = 0.0;
    for (int64_t i = c * count; i < (c + 1) * count; ++i) sum += static_cast<double>(dy.get()[i]);
    if (!(std::abs(db.get()[c] - sum) <= 1e-3 * std::max<double>(1.0, static_cast<double>(count)))) std::abort();
  }
}

}  // namespace n2n::training
