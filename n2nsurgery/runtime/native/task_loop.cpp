#include "task_loop.h"

#include <algorithm>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>

namespace n2n {
namespace {

// More than any session has. ONNX Runtime deals this many calls out to the threads it has; those that find no task left
// return at once.
constexpr int64_t kMostThreads = 256;
constexpr int kSpins = 300;  // some ten microseconds, about as long as one of the first tasks takes

std::atomic<uint64_t> loops{0};

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Tasks are handed out one by one; a worker that comes late finds none left.
struct Loop {
  TaskCount tasks;
  const std::function<void(int64_t)>* body = nullptr;
  const uint64_t number = loops.fetch_add(1, std::memory_order_relaxed) + 1;
  std::atomic<int64_t> next{0};
  std::atomic<int64_t> first_done{0};
  std::atomic<int> threads{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  std::exception_ptr failure;

  static void work(void* data, size_t /*index*/) {
    auto& loop = *static_cast<Loop*>(data);
    static thread_local uint64_t joined = 0;
    if (joined != loop.number) loop.threads.fetch_add(1, std::memory_order_relaxed);
    joined = loop.number;
    try {
      while (loop.step()) {
      }
    } catch (...) {
      const std::lock_guard<std::mutex> guard(loop.mutex);
      loop.failure = std::current_exception();
      loop.failed.store(true);
    }
  }

  // False when there is nothing left to do.
  bool step() {
    const int64_t task = next.fetch_add(1);
    if (task >= tasks.all || failed.load(std::memory_order_relaxed)) return false;
    if (task >= tasks.first && !first_finished()) return false;
    (*body)(task);
    if (task < tasks.first) first_done.fetch_add(1, std::memory_order_release);
    return true;
  }

  // Waits for the first tasks, all of which some thread has begun; false if one of them failed.
  bool first_finished() {
    for (int spins = 0; first_done.load(std::memory_order_acquire) < tasks.first; ++spins) {
      if (failed.load(std::memory_order_relaxed)) return false;
      if (spins < kSpins) {
        pause();
      } else {
        std::this_thread::yield();
      }
    }
    return true;
  }
};

}  // namespace

void run_tasks(const ort::Invocation& invocation, const TaskCount& tasks, bool large, ThreadCount& threads,
               const std::function<void(int64_t)>& body) {
  const int64_t workers = large ? (threads.asks_all() ? kMostThreads : std::min(kMostThreads, tasks.all)) : 1;
  if (workers == 1) {
    for (int64_t i = 0; i < tasks.all; ++i) body(i);
    return;
  }
  Loop loop;
  loop.tasks = tasks;
  loop.body = &body;
  invocation.parallel(static_cast<size_t>(workers), Loop::work, &loop);
  threads.saw(loop.threads.load());
  if (loop.failure) std::rethrow_exception(loop.failure);
}

int64_t threads_for_image(int64_t batch, const ThreadCount& threads) {
  const int64_t all = threads.seen();
  return batch >= 4 * all ? 1 : all / std::gcd(batch, all);
}

}  // namespace n2n
