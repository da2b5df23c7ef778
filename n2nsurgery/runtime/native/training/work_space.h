// Scratch memory of one thread, on large pages where the system has them: a pass reads it channel by channel, and each
// small page would need another entry of the page tables. It only ever grows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "../large_pages.h"

namespace n2n::training {

class WorkSpace {
 public:
  // At least `count` floats; earlier contents are lost when it grows.
  float* floats(int64_t count) {
    if (count > capacity_) {
      const size_t bytes = (static_cast<size_t>(count) * sizeof(float) + kLargePage - 1) / kLargePage * kLargePage;
      storage_.reset();
      capacity_ = 0;
      storage_.reset(static_cast<float*>(std::aligned_alloc(kLargePage, bytes)));
      if (storage_ == nullptr) throw std::bad_alloc();
      prefer_large_pages(storage_.get(), bytes);
      capacity_ = static_cast<int64_t>(bytes / sizeof(float));
    }
    return storage_.get();
  }

 private:
  static constexpr size_t kLargePage = size_t{1} << 21;
  struct Free {
    void operator()(float* pointer) const { std::free(pointer); }
  };
  std::unique_ptr<float, Free> storage_;
  int64_t capacity_ = 0;
};

}  // namespace n2n::training
