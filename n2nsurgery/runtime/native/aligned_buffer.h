// Uninitialised float storage on given boundaries that only ever grows; one per thread and purpose.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "large_pages.h"
#include "rounding.h"

namespace n2n {

template <size_t boundary>
class GrowingBuffer {
 public:
  // At least `count` floats; earlier contents are lost when the buffer grows.
  float* floats(int64_t count) {
    if (count > capacity_) {
      const size_t bytes = round_up_bytes(static_cast<size_t>(count) * sizeof(float), boundary);
      storage_.reset();
      capacity_ = 0;
      storage_.reset(static_cast<float*>(std::aligned_alloc(boundary, bytes)));
      if (storage_ == nullptr) throw std::bad_alloc();
      if constexpr (boundary == kLargePage) prefer_large_pages(storage_.get(), bytes);
      capacity_ = static_cast<int64_t>(bytes / sizeof(float));
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

using AlignedBuffer = GrowingBuffer<kCacheLine>;

}  // namespace n2n
