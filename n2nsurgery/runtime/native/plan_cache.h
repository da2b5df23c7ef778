// The plans of one kernel, for the input sizes that it met last.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "geometry.h"
#include "plan.h"

namespace n2n {

class PlanCache {
 public:
  // Makes the plan under the lock if it is not there, so that concurrent first runs make it once.
  std::shared_ptr<const Plan> find(const Axes& input, int64_t chunks, const std::function<Plan()>& make) {
    const std::lock_guard<std::mutex> guard(mutex_);
    const auto entry = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& candidate) {
      return candidate.input == input && candidate.chunks == chunks;
    });
    if (entry != entries_.end()) {
      std::rotate(entries_.begin(), entry, entry + 1);
      return entries_.front().plan;
    }
    auto plan = std::make_shared<const Plan>(make());
    if (entries_.size() == kCapacity) entries_.pop_back();
    entries_.insert(entries_.begin(), Entry{input, chunks, plan});
    return plan;
  }

 private:
  static constexpr size_t kCapacity = 4;
  struct Entry {
    Axes input;
    int64_t chunks;
    std::shared_ptr<const Plan> plan;
  };
  std::mutex mutex_;
  std::vector<Entry> entries_;  // last used first
};

}  // namespace n2n
