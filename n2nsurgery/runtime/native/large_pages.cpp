#include "large_pages.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>

#include "rounding.h"

namespace n2n {
namespace {

std::shared_ptr<char> allocate_aligned(size_t alignment, size_t bytes) {
  auto* memory = static_cast<char*>(std::aligned_alloc(alignment, bytes));
  if (memory == nullptr) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  if (alignment == kLargePage) madvise(memory, bytes, MADV_HUGEPAGE);  // a wish: small pages serve as well
#endif
  return {memory, [](char* pointer) { std::free(pointer); }};
}

// The pages that the next pieces are cut from.
struct Supply {
  std::mutex mutex;
  std::weak_ptr<char> pages;  // the pieces own them
  size_t used = 0;
  size_t size = 0;
};

}  // namespace

std::shared_ptr<void> allocate_piece(size_t bytes) {
  const size_t length = round_up_bytes(bytes + 1, kCacheLine);  // never nothing
#if defined(__SANITIZE_ADDRESS__)
  return allocate_aligned(kCacheLine, length);  // apart from each other, so that overruns are seen
#else
  static Supply supply;
  const std::lock_guard<std::mutex> guard(supply.mutex);
  std::shared_ptr<char> pages = supply.pages.lock();
  if (pages == nullptr || supply.size - supply.used < length) {
    supply.size = round_up_bytes(length, kLargePage);
    pages = allocate_aligned(kLargePage, supply.size);
    supply.pages = pages;
    supply.used = 0;
  }
  char* piece = pages.get() + supply.used;
  supply.used += length;
  return std::shared_ptr<void>(pages, piece);
#endif
}

void prefer_large_pages([[maybe_unused]] void* memory, [[maybe_unused]] size_t bytes) {
#if defined(MADV_HUGEPAGE)
  const auto begin = reinterpret_cast<uintptr_t>(memory);
  const uintptr_t first = round_up_bytes(begin, kLargePage);  // whole large pages only: what is around belongs to others
  const uintptr_t last = (begin + bytes) / kLargePage * kLargePage;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

}  // namespace n2n
