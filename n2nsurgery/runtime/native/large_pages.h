// Memory for packed weights: pieces of a few large pages, which are made present and looked up faster than small ones.
#pragma once

#include <cstddef>
#include <memory>

namespace n2n {

constexpr size_t kCacheLine = 64;
constexpr size_t kLargePage = size_t{1} << 21;

// Uninitialised memory on a cache line's boundary. Its pages are freed with the last piece that lies in them.
// Thread-safe; throws std::bad_alloc.
std::shared_ptr<void> allocate_piece(size_t bytes);

// Asks for large pages where this memory is not yet present: a result of several megabytes is otherwise made present in
// thousands of small steps, and each channel that is written or read needs another entry of the page tables.
void prefer_large_pages(void* memory, size_t bytes);

// The same as an array of `count` elements of a type that needs no construction.
template <typename T>
std::shared_ptr<T[]> allocate_array(size_t count) {
  const std::shared_ptr<void> piece = allocate_piece(count * sizeof(T));
  return std::shared_ptr<T[]>(piece, static_cast<T*>(piece.get()));
}

}  // namespace n2n
