#include "task_loop.h"

#include <algorithm>
#include <array>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>

namespace n2n {
namespace {

// More than any session has. ONNX Runtime deals this many calls out to the threads it has; those that find no task left
// return at once.
constexpr int64_t kMostThreads = 256;
constexpr int64_t kMostShares = 64;  // of a loop; further threads help the others
constexpr int kSpins = 300;  // some ten microseconds, about as long as one of the first tasks takes

std::atomic<uint64_t> loops{0};

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// What a thread knows of the loops it worked in. The tasks of successive loops go over the same images in the same
// order, so a thread that keeps its place reads what it wrote itself, and has it in its own caches.
struct Worker {
  uint64_t loop = 0;    // the last that it joined
  double place = -1.0;  // where it works, in [0, 1) of all tasks; -1: nowhere yet
};
thread_local Worker worker;

// Consecutive tasks, [next, end) of which are left. Their owner takes them from the front, other threads from the back.
class alignas(64) Share {
 public:
  void set(int64_t next, int64_t end) {
    range_.store(pack(next, end), std::memory_order_relaxed);
    owned_.store(false, std::memory_order_relaxed);
  }

  bool claim() { return !owned_.load(std::memory_order_relaxed) && !owned_.exchange(true, std::memory_order_relaxed); }

  int64_t left() const {
    const uint64_t range = range_.load(std::memory_order_relaxed);
    return end_of(range) - next_of(range);
  }

  // A task, or -1 where none is left.
  int64_t take(bool first) {
    uint64_t range = range_.load(std::memory_order_relaxed);
    for (;;) {
      const int64_t next = next_of(range);
      const int64_t end = end_of(range);
      if (next >= end) return -1;
      const uint64_t rest = first ? pack(next + 1, end) : pack(next, end - 1);
      if (range_.compare_exchange_weak(range, rest, std::memory_order_relaxed)) return first ? next : end - 1;
    }
  }

 private:
  static uint64_t pack(int64_t next, int64_t end) { return static_cast<uint64_t>(end) << 32 | static_cast<uint64_t>(next); }
  static int64_t next_of(uint64_t range) { return static_cast<int64_t>(range & 0xffffffffU); }
  static int64_t end_of(uint64_t range) { return static_cast<int64_t>(range >> 32); }

  std::atomic<uint64_t> range_;
  std::atomic<bool> owned_;
};

// Tasks [begin, end), a share of them for every thread.
class Shares {
 public:
  Shares(int64_t begin, int64_t end, int64_t threads)
      : count_(std::min({end - begin, threads, kMostShares})), all_threads_(count_ == threads) {
    for (int64_t i = 0; i < count_; ++i) {
      shares_[i].set(begin + (end - begin) * i / count_, begin + (end - begin) * (i + 1) / count_);
    }
  }

  // The calling thread's share: that of its place, or the next one that is free; -1 where none is. A thread whose place
  // was taken moves, unless there are fewer tasks than threads: then it is wanted back.
  int64_t claim() {
    const auto wanted = static_cast<int64_t>(std::max(0.0, worker.place) * static_cast<double>(count_));
    for (int64_t i = 0; i < count_; ++i) {
      const int64_t share = (wanted + i) % count_;
      if (!shares_[share].claim()) continue;
      if (worker.place < 0.0 || (i != 0 && all_threads_)) {
        worker.place = (static_cast<double>(share) + 0.5) / static_cast<double>(count_);
      }
      return share;
    }
    return -1;
  }

  // A task of the share `own`, or else of the one with most left; -1 where there is none.
  int64_t take(int64_t own) {
    if (own >= 0) {
      const int64_t task = shares_[own].take(true);
      if (task >= 0) return task;
    }
    for (;;) {
      int64_t most = 0;
      Share* fullest = nullptr;
      for (int64_t i = 0; i < count_; ++i) {
        const int64_t left = shares_[i].left();
        if (left > most) {
          most = left;
          fullest = &shares_[i];
        }
      }
      if (fullest == nullptr) return -1;
      const int64_t task = fullest->take(false);
      if (task >= 0) return task;
    }
  }

 private:
  int64_t count_;
  bool all_threads_;
  std::array<Share, kMostShares> shares_;
};

// A worker that comes late finds no task left.
class Loop {
 public:
  Loop(const TaskCount& tasks, int64_t threads, const std::function<void(int64_t)>& body)
      : tasks_(tasks), body_(body), first_(0, tasks.first, threads), others_(tasks.first, tasks.all, threads) {}

  static void work(void* data, size_t /*index*/) {
    auto& loop = *static_cast<Loop*>(data);
    if (worker.loop != loop.number_) loop.threads_.fetch_add(1, std::memory_order_relaxed);
    worker.loop = loop.number_;
    try {
      loop.run();
    } catch (...) {
      const std::lock_guard<std::mutex> guard(loop.mutex_);
      loop.failure_ = std::current_exception();
      loop.failed_.store(true);
    }
  }

  int threads() const { return threads_.load(); }
  const std::exception_ptr& failure() const { return failure_; }

 private:
  void run() {
    if (begun_.load(std::memory_order_relaxed) == tasks_.all) return;
    if (tasks_.first != 0) {
      run_all(first_, [this] { first_done_.fetch_add(1, std::memory_order_release); });
      if (!first_finished()) return;
    }
    run_all(others_, [] {});
  }

  template <class Done>
  void run_all(Shares& shares, const Done& done) {
    const int64_t own = shares.claim();
    for (int64_t task = shares.take(own); task >= 0; task = shares.take(own)) {
      begun_.fetch_add(1, std::memory_order_relaxed);
      if (failed_.load(std::memory_order_relaxed)) return;
      body_(task);
      done();
    }
  }

  // Waits for the first tasks, all of which some thread has begun; false if one of them failed.
  bool first_finished() {
    for (int spins = 0; first_done_.load(std::memory_order_acquire) < tasks_.first; ++spins) {
      if (failed_.load(std::memory_order_relaxed)) return false;
      if (spins < kSpins) {
        pause();
      } else {
        std::this_thread::yield();
      }
    }
    return true;
  }

  const TaskCount tasks_;
  const std::function<void(int64_t)>& body_;
  const uint64_t number_ = loops.fetch_add(1, std::memory_order_relaxed) + 1;
  Shares first_;
  Shares others_;
  std::atomic<int64_t> begun_{0};
  std::atomic<int64_t> first_done_{0};
  std::atomic<int> threads_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::exception_ptr failure_;
};

}  // namespace

void run_tasks(const ort::Invocation& invocation, const TaskCount& tasks, bool large, ThreadCount& threads,
               const std::function<void(int64_t)>& body) {
  const int64_t workers = large ? (threads.asks_all() ? kMostThreads : std::min(kMostThreads, tasks.all)) : 1;
  if (workers == 1) {
    for (int64_t i = 0; i < tasks.all; ++i) body(i);
    return;
  }
  Loop loop(tasks, threads.seen(), body);
  invocation.parallel(static_cast<size_t>(workers), Loop::work, &loop);
  threads.saw(loop.threads());
  if (loop.failure()) std::rethrow_exception(loop.failure());
}

int64_t threads_for_image(int64_t batch, const ThreadCount& threads) {
  const int64_t all = threads.seen();
  return batch >= 4 * all ? 1 : all / std::gcd(batch, all);
}

}  // namespace n2n
