#include "thread_pool.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace n2n::training {
namespace {

class Pool {
 public:
  void run(int threads, int64_t count, const std::function<void(int64_t)>& body) {
    grow(threads - 1);
    {
      const std::lock_guard<std::mutex> guard(mutex_);
      body_ = &body;
      count_ = count;
      next_.store(0, std::memory_order_relaxed);
      seats_ = std::min(threads - 1, static_cast<int>(workers_));
      ++round_;
    }
    wake_.notify_all();
    work();
    std::unique_lock<std::mutex> lock(mutex_);
    seats_ = 0;  // who has not begun yet need not
    done_.wait(lock, [this] { return running_ == 0; });
    body_ = nullptr;
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

 private:
  void grow(int wanted) {
    while (workers_ < wanted) {
      try {
        std::thread([this] { serve(); }).detach();
      } catch (const std::system_error&) {
        return;  // fewer threads give the same result
      }
      ++workers_;
    }
  }

  void serve() {
    uint64_t seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return round_ != seen && seats_ > 0; });
      seen = round_;
      --seats_;
      ++running_;
      lock.unlock();
      work();
      lock.lock();
      if (--running_ == 0) done_.notify_one();
    }
  }

  void work() {
    try {
      for (int64_t i = next_.fetch_add(1); i < count_; i = next_.fetch_add(1)) (*body_)(i);
    } catch (...) {
      const std::lock_guard<std::mutex> guard(mutex_);
      failure_ = std::current_exception();
      next_.store(count_);
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  const std::function<void(int64_t)>* body_ = nullptr;
  int64_t count_ = 0;
  std::atomic<int64_t> next_{0};
  int seats_ = 0;
  int running_ = 0;
  int workers_ = 0;
  uint64_t round_ = 0;
  std::exception_ptr failure_;
};

// A forked child has none of its parent's threads, and perhaps a locked mutex: it begins with a pool of its own. Pools
// are never freed, since detached threads wait in them until the process ends.
std::atomic<Pool*> the_pool{nullptr};
std::atomic<bool> taken{false};

void begin_anew() {
  the_pool.store(nullptr);
  taken.store(false);
}

Pool& pool() {
  static const int registered = pthread_atfork(nullptr, nullptr, begin_anew);
  static_cast<void>(registered);
  Pool* found = the_pool.load();
  if (found == nullptr) {
    found = new Pool;
    the_pool.store(found);
  }
  return *found;
}

struct Turn {
  bool mine = !taken.exchange(true);
  ~Turn() {
    if (mine) taken.store(false);
  }
};

}  // namespace

void parallel(int threads, int64_t count, const std::function<void(int64_t)>& body) {
  threads = static_cast<int>(std::min<int64_t>({threads, count, kMostThreads}));
  if (threads > 1) {
    const Turn turn;
    if (turn.mine) return pool().run(threads, count, body);
  }
  for (int64_t i = 0; i < count; ++i) body(i);
}

}  // namespace n2n::training
