#include "task_loop.h"

#include <algorithm>
#include <exception>
#include <mutex>
#include <thread>

namespace n2n {
namespace {

// Tasks are handed out one by one; a worker that comes late finds none left.
struct Loop {
  int64_t count = 0;
  const std::function<void(int64_t)>* body = nullptr;
  std::thread::id caller;
  std::atomic<int64_t> next{0};
  std::atomic<int> helpers{0};
  std::mutex mutex;
  std::exception_ptr failure;

  static void work(void* data, size_t /*index*/) {
    auto& loop = *static_cast<Loop*>(data);
    if (std::this_thread::get_id() != loop.caller) loop.helpers.fetch_add(1, std::memory_order_relaxed);
    try {
      for (int64_t i = loop.next.fetch_add(1); i < loop.count; i = loop.next.fetch_add(1)) (*loop.body)(i);
    } catch (...) {
      const std::lock_guard<std::mutex> guard(loop.mutex);
      loop.failure = std::current_exception();
      loop.next.store(loop.count);
    }
  }
};

}  // namespace

void run_tasks(const ort::Invocation& invocation, int64_t count, bool large, ThreadCount& threads,
               const std::function<void(int64_t)>& body) {
  static const auto processors = static_cast<int64_t>(std::max(1U, std::thread::hardware_concurrency()));
  int64_t workers = std::min(processors, threads.settled() ? count : std::max<int64_t>(count, 2));
  if (threads.settled() && threads.estimate() == 1) workers = 1;
  if (!large || workers <= 1) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  Loop loop;
  loop.count = count;
  loop.body = &body;
  loop.caller = std::this_thread::get_id();
  invocation.parallel(static_cast<size_t>(workers), Loop::work, &loop);
  threads.saw(1 + static_cast<int>(std::min<int64_t>(loop.helpers.load(), processors - 1)));
  if (loop.failure) std::rethrow_exception(loop.failure);
}

int64_t chunks_for(int64_t tasks, int64_t outputs, const ThreadCount& threads) {
  const int64_t available = threads.estimate();
  if (tasks >= 2 * available || tasks % available == 0) return 1;
  return std::max<int64_t>(1, std::min(available, outputs / 8));
}

}  // namespace n2n
