// The plans of one kernel, for the inputs that it met last.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <vector>

#include "plan.h"

namespace n2n {

// What a plan was made for.
struct PlanKey {
  Axes input{1, 1, 1};
  int64_t threads = 1;  // that share the tasks of one image

  bool operator==(const PlanKey& other) const { return input == other.input && threads == other.threads; }
};

template <class Made>
class PlanCacheOf {
 public:
  using Shared = std::shared_ptr<const Made>;

  // Makes the plan if it is not there. Concurrent calls for one key make it once; calls for other keys do not wait. What
  // `make` throws is thrown to all who wait for it, and a later call tries again.
  Shared find(const PlanKey& key, const std::function<Made()>& make) {
    std::promise<Shared> promise;
    std::shared_future<Shared> known = known_or_begun(key, promise);
    if (known.valid()) return known.get();
    try {
      auto plan = std::make_shared<const Made>(make());
      promise.set_value(plan);
      return plan;
    } catch (...) {
      promise.set_exception(std::current_exception());
      forget(key);
      throw;
    }
  }

 private:
  static constexpr size_t kCapacity = 40;  // 32 input sizes, and some while the number of threads is learnt
  struct Entry {
    PlanKey key;
    std::shared_future<Shared> plan;
  };

  // The plan of this key; or an invalid future, where `promise` is now expected to bring it.
  std::shared_future<Shared> known_or_begun(const PlanKey& key, std::promise<Shared>& promise) {
    const std::lock_guard<std::mutex> guard(mutex_);
    const auto entry = std::find_if(entries_.begin(), entries_.end(),
                                    [&](const Entry& candidate) { return candidate.key == key; });
    if (entry != entries_.end()) {
      std::rotate(entries_.begin(), entry, entry + 1);
      return entries_.front().plan;
    }
    if (entries_.size() == kCapacity) entries_.pop_back();
    entries_.insert(entries_.begin(), Entry{key, promise.get_future().share()});
    return {};
  }

  void forget(const PlanKey& key) {
    const std::lock_guard<std::mutex> guard(mutex_);
    entries_.erase(std::remove_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& candidate) { return candidate.key == key; }),
                   entries_.end());
  }

  std::mutex mutex_;
  std::vector<Entry> entries_;  // last used first
};

using PlanCache = PlanCacheOf<Plan>;

}  // namespace n2n
