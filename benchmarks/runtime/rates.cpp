// The rates that bound the kernels on this machine: multiply-adds with one vector load each, by where the input lies,
// and plain copies of activations. CPU time of the thread, best of several rounds.
//
//   g++ -std=c++17 -O2 -march=native rates.cpp -o rates && ./rates
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace {

typedef float Vector __attribute__((vector_size(64), aligned(4), may_alias));
constexpr int64_t kLanes = 16;

double now() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Loads one vector after the other and adds its product to one of eight sums.
float multiply_add(const float* x, int64_t floats) {
  Vector sum[8] = {};
  const Vector weight = Vector{} + 0.5F;
  for (int64_t i = 0; i + 8 * kLanes <= floats; i += 8 * kLanes) {
#pragma GCC unroll 8
    for (int64_t j = 0; j < 8; ++j) sum[j] += weight * *reinterpret_cast<const Vector*>(x + i + j * kLanes);
  }
  Vector all = sum[0];
  for (int j = 1; j < 8; ++j) all += sum[j];
  return all[0];
}

void copy(float* to, const float* from, int64_t floats) {
  for (int64_t i = 0; i + kLanes <= floats; i += kLanes) {
    *reinterpret_cast<Vector*>(to + i) = *reinterpret_cast<const Vector*>(from + i);
  }
}

// Seconds per pass.
template <class Pass>
double best(int64_t passes, const Pass& pass) {
  double least = 1e9;
  for (int round = 0; round < 20; ++round) {
    const double begin = now();
    for (int64_t i = 0; i < passes; ++i) pass();
    least = std::min(least, (now() - begin) / static_cast<double>(passes));
  }
  return least;
}

}  // namespace

int main() {
  constexpr int64_t kMost = 16 << 20;
  auto* x = static_cast<float*>(std::aligned_alloc(64, kMost + 64));
  auto* y = static_cast<float*>(std::aligned_alloc(64, kMost));
  std::fill_n(x, kMost / 4 + 16, 1.0F);
  std::fill_n(y, kMost / 4, 1.0F);
  volatile float sink = 0.0F;
  for (const int64_t kilobytes : {16, 32, 256, 512, 4096, 12800}) {
    const int64_t floats = kilobytes * 256;
    const int64_t passes = std::max<int64_t>(1, 4096 / kilobytes);
    const double giga = 1e-9 * static_cast<double>(floats);
    const double aligned = best(passes, [&] { sink = multiply_add(x, floats); });
    const double moved = best(passes, [&] { sink = multiply_add(x + 1, floats); });
    const double copied = best(passes, [&] { copy(y, x, floats); });
    std::printf("%6lld kB: %5.0f GFLOP/s aligned, %5.0f straddling lines; copies %4.0f GB/s\n",
                static_cast<long long>(kilobytes), 2 * giga / aligned, 2 * giga / moved, 4 * giga / copied);
  }
  std::free(x);
  std::free(y);
}
