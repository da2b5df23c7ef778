#include "layout.h"

#include <algorithm>

#include "../processor.h"
#include "../rounding.h"
#include "thread_pool.h"

namespace n2n::training {
namespace {

constexpr int64_t kTile = 64;
constexpr int64_t kStretch = 1024;  // columns of one task

}  // namespace

void transpose(const float* source, float* target, int64_t rows, int64_t columns, int threads) {
  const Kernels& kernels = n2n::select_kernels();
  parallel(threads, rows == 0 ? 0 : ceil_div(columns, kStretch), [&](int64_t task) {
    const int64_t end = std::min(columns, (task + 1) * kStretch);
    for (int64_t row = 0; row < rows; row += kTile) {
      for (int64_t column = task * kStretch; column < end; column += kTile) {
        kernels.turn({source + row * columns + column, columns, target + column * rows + row, rows,
                      std::min(kTile, rows - row), std::min(kTile, end - column), nullptr, {}});
      }
    }
  });
}

}  // namespace n2n::training
