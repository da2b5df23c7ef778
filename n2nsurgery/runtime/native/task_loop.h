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
  int64_t estimate() const { return seen_.load(std::memory_order_relaxed); }
  bool settled() const { return calls_.load(std::memory_order_relaxed) >= kTrials; }
  void saw(int threads) {
    calls_.fetch_add(1, std::memory_order_relaxed);
    int before = seen_.load(std::memory_order_relaxed);
    while (threads > before && !seen_.compare_exchange_weak(before, threads, std::memory_order_relaxed)) {
    }
  }

 private:
  static constexpr int kTrials = 4;
  std::atomic<int> seen_{1};
  std::atomic<int> calls_{0};
};

// Calls body(i) for i in [0, count). `large` says that it is worth waking other threads. An exception of the body is
// rethrown here, after all threads have stopped.
void run_tasks(const ort::Invocation& invocation, int64_t count, bool large, ThreadCount& threads,
               const std::function<void(int64_t)>& body);

// Into how many chunks of output channels to cut, so that no thread is idle when there are few patches.
int64_t chunks_for(int64_t tasks, int64_t outputs, const ThreadCount& threads);

}  // namespace n2n
