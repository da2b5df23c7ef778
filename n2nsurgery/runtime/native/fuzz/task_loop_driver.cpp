// Checks of the task loop with a pool of threads in place of ONNX Runtime's, which deals its calls out as that does:
// in as many consecutive batches as it has threads. Ends with an error message and status 1, or prints "ok".
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <thread>
#include <vector>

#include "task_loop.h"

namespace n2n {
namespace {

struct Pool {
  size_t threads = 1;  // the caller's included
  size_t busy = 0;     // of them, that other work keeps
  size_t calls = 0;    // of the last loop
};

ort::Status* parallel_for(const ort::KernelContext* context, void (*body)(void*, size_t), size_t count, size_t /*batches*/,
                          void* data) {
  Pool& pool = *reinterpret_cast<Pool*>(const_cast<ort::KernelContext*>(context));
  pool.calls = count;
  const size_t batches = std::min(count, pool.threads);
  const size_t present = std::min(batches, pool.threads - pool.busy);
  const auto work = [&](size_t thread) {
    for (size_t batch = thread; batch < batches; batch += present) {
      for (size_t i = count * batch / batches; i < count * (batch + 1) / batches; ++i) body(data, i);
    }
  };
  std::vector<std::thread> helpers;
  for (size_t thread = 1; thread < present; ++thread) helpers.emplace_back(work, thread);
  work(0);
  for (std::thread& helper : helpers) helper.join();
  return nullptr;
}

void check(bool holds, const char* what) {
  if (holds) return;
  std::printf("%s\n", what);
  std::exit(1);
}

class Session {
 public:
  explicit Session(Pool& pool) : pool_(pool) {
    for (const void*& slot : table_) slot = nullptr;
    table_[274] = reinterpret_cast<const void*>(&parallel_for);
  }

  void run(const TaskCount& tasks, const std::function<void(int64_t)>& body, bool large = true) {
    const ort::Invocation invocation(table_, reinterpret_cast<ort::KernelContext*>(&pool_), true);
    run_tasks(invocation, tasks, large, threads, body);
  }

  ThreadCount threads;

 private:
  Pool& pool_;
  const void* table_[300];
};

void every_task_runs_once_and_the_first_ones_before_the_others() {
  Pool pool{4};
  Session session(pool);
  for (int64_t first = 0; first < 40; ++first) {
    std::vector<std::atomic<int>> ran(60);
    std::atomic<int64_t> first_done{0};
    session.run({first, 60}, [&](int64_t task) {
      if (task >= first) check(first_done == first, "a task began before the first ones were finished");
      ran[static_cast<size_t>(task)]++;
      if (task < first) first_done++;
    });
    for (const std::atomic<int>& times : ran) check(times == 1, "a task ran not once");
  }
}

void a_failure_reaches_the_caller() {
  Pool pool{3};
  Session session(pool);
  for (int64_t bad = 0; bad < 12; ++bad) {
    bool thrown = false;
    try {
      session.run({6, 12}, [&](int64_t task) {
        if (task == bad) throw std::runtime_error("bad");
      });
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    check(thrown, "the failure of a task was lost");
  }
}

void no_more_threads_are_counted_than_the_session_has() {
  Pool pool{2};
  Session session(pool);
  for (int run = 0; run < 20; ++run) session.run({0, 16}, [](int64_t) {});
  check(session.threads.seen() == 2, "a session of two threads was not counted as two");
}

void threads_are_found_once_a_busy_pool_is_free() {
  Pool pool{5, 4};
  Session session(pool);
  for (int run = 0; run < 50; ++run) session.run({0, 1}, [](int64_t) {});
  check(session.threads.seen() == 1, "threads were counted that never came");
  pool.busy = 0;
  for (int run = 0; run < 8; ++run) session.run({0, 1}, [](int64_t) {});
  check(session.threads.seen() == 5, "threads that came later were not found");
}

void threads_without_a_task_are_seldom_asked() {
  Pool pool{8};
  Session session(pool);
  int asked = 0;
  for (int run = 0; run < 64; ++run) {
    pool.calls = 0;
    session.run({0, 3}, [](int64_t) {});
    asked += pool.calls > 3 ? 1 : 0;
  }
  check(asked == 11, "all threads were asked not in 4 loops and every 8th");
}

// A thread that lives as long as this does, and joins the caller in every loop, before it or after it.
class Helper {
 public:
  ~Helper() {
    give({}, true);
    thread_.join();
  }

  void run_beside(bool first, const std::function<void()>& work) {
    give(work, false);
    while (first && !begun_) std::this_thread::yield();
    work();
    while (!done_) std::this_thread::yield();
  }

 private:
  void give(const std::function<void()>& work, bool last) {
    work_ = work;
    last_ = last;
    begun_ = done_ = false;
    given_ = true;
  }

  void serve() {
    for (;;) {
      while (!given_) std::this_thread::yield();
      given_ = false;
      if (last_) return;
      begun_ = true;
      work_();
      done_ = true;
    }
  }

  std::function<void()> work_;
  std::atomic<bool> given_{false}, begun_{false}, done_{false}, last_{false};
  std::thread thread_{[this] { serve(); }};
};

void a_thread_goes_on_where_it_worked() {
  Helper helper;
  ort::Status* (*beside)(const ort::KernelContext*, void (*)(void*, size_t), size_t, size_t, void*) =
      [](const ort::KernelContext* context, void (*body)(void*, size_t), size_t, size_t, void* data) -> ort::Status* {
    auto& [other, helper_first] = *reinterpret_cast<std::pair<Helper*, bool>*>(const_cast<ort::KernelContext*>(context));
    other->run_beside(helper_first, [&] { body(data, 0); });
    return nullptr;
  };
  const void* table[300] = {};
  table[274] = reinterpret_cast<const void*>(beside);
  std::pair<Helper*, bool> pair{&helper, false};
  ThreadCount threads;
  threads.saw(2);
  std::thread::id before[2];
  for (int run = 0; run < 60; ++run) {
    pair.second = run % 3 != 0;
    std::thread::id ran[2];
    std::atomic<int> begun{0};
    const ort::Invocation invocation(table, reinterpret_cast<ort::KernelContext*>(&pair), true);
    run_tasks(invocation, {0, 16}, true, threads, [&](int64_t task) {
      if (task % 8 != 0) return;
      ran[task / 8] = std::this_thread::get_id();
      begun++;
      while (begun < 2) std::this_thread::yield();  // both have begun their own share
    });
    check(ran[0] != ran[1], "two threads did not share the tasks");
    if (run > 0) check(ran[0] == before[0], "a thread left its place");
    std::copy(ran, ran + 2, before);
  }
}

void small_work_stays_with_the_caller() {
  Pool pool{4};
  Session session(pool);
  const std::thread::id caller = std::this_thread::get_id();
  session.run({2, 9}, [&](int64_t) { check(std::this_thread::get_id() == caller, "small work was spread"); }, false);
}

void a_batch_leaves_each_image_as_many_threads_as_it_needs() {
  ThreadCount threads;
  threads.saw(16);
  const int64_t expected[][2] = {{1, 16}, {2, 8}, {3, 16}, {8, 2}, {16, 1}, {24, 2}, {64, 1}, {65, 1}};
  for (const auto& [batch, share] : expected) check(threads_for_image(batch, threads) == share, "a share is wrong");
}

}  // namespace
}  // namespace n2n

int main() {
  n2n::every_task_runs_once_and_the_first_ones_before_the_others();
  n2n::a_failure_reaches_the_caller();
  n2n::no_more_threads_are_counted_than_the_session_has();
  n2n::threads_are_found_once_a_busy_pool_is_free();
  n2n::threads_without_a_task_are_seldom_asked();
  n2n::a_thread_goes_on_where_it_worked();
  n2n::small_work_stays_with_the_caller();
  n2n::a_batch_leaves_each_image_as_many_threads_as_it_needs();
  std::printf("ok\n");
}
