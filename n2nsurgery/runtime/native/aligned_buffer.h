// Uninitialised float storage on cache-line boundaries that only ever grows; one per thread and purpose.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace n2n {

constexpr size_t kCacheLine = 64;

class AlignedBuffer {
 public:
  // At least `count` floats; earlier contents are lost when the buffer grows.
  float* floats(int64_t count) {
    if (count > capacity_) {
      const size_t bytes = (static_cast<size_t>(count) * sizeof(float) + kCacheLine - 1) / kCacheLine * kCacheLine;
      storage_.reset();
      capacity_ = 0;
      storage_.reset(static_cast<float*>(std::aligned_alloc(kCacheLine, bytes)));
      if (storage_ == nullptr) throw std::bad_alloc();
      capacity_ = count;
    }
    return storage_.get();
  }

 private:
  struct Free {
    void operator()(float* pointer) const { std::free(pointer); }
  };
  std::unique_ptr<float, Free> storage_;
  int64_t capacity_ = 0;
};

}  // namespace n2n
