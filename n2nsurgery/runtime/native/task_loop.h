// Spreads tasks over the session's threads, and learns how many there are.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "ort_call.h"

namespace n2n {

// ONNX Runtime does not tell a custom op how many threads the session has, so each kernel watches who comes to help.
class ThreadCount {
 public:
  // The most threads that shared one loop so far, the caller's included; never more than the session has.
  int64_t seen() const { return seen_.load(std::memory_order_relaxed); }

  // Whether this loop is to ask all threads, also those for which it has no task: in the first few, and in every few
  // later, because a pool that other work keeps busy tells nothing.
  bool asks_all() {
    const uint32_t loop = loops_.fetch_add(1, std::memory_order_relaxed);
    return loop < kFirst || loop % kEvery == 0;
  }

  void saw(int threads) {
    int before = seen_.load(std::memory_order_relaxed);
    while (threads > before && !seen_.compare_exchange_weak(before, threads, std::memory_order_relaxed)) {
    }
  }

 private:
  static constexpr uint32_t kFirst = 4;
  static constexpr uint32_t kEvery = 8;
  std::atomic<int> seen_{1};
  std::atomic<uint32_t> loops_{0};
};

// Multiply-adds of float32 from which on other threads are worth waking: about ten microseconds.
constexpr int64_t kWorthProducts = 200'000;

// Tasks [0, first) are begun before all others, and finished before one of the others begins.
struct TaskCount {
  int64_t first = 0;
  int64_t all = 0;
};

// Calls body(i) for i in [0, tasks.all). `large` says that it is worth waking other threads. An exception of the body
// is rethrown here, after all threads have stopped.
void run_tasks(const ort::Invocation& invocation, const TaskCount& tasks, bool large, ThreadCount& threads,
               const std::function<void(int64_t)>& body);

// Over how many threads the tasks of one image are to be spread, where a batch of `batch` images keeps the rest busy.
int64_t threads_for_image(int64_t batch, const ThreadCount& threads);

}  // namespace n2n
