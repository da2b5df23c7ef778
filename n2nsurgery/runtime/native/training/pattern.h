// Which weights of a layer are kept: by output channel as they are stored, and by input channel for the gradient.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "conv_shape.h"

namespace n2n::training {

struct ConvPlans;

// One kept weight as a pass reads it: value number `value` times source channel `source` (within the group) at `tap`.
struct Entry {
  int32_t source;
  int32_t tap;
  int32_t value;
};

// Rows of entries, one for each target channel of all groups; within a row by source channel, then by tap.
struct Rows {
  std::vector<int32_t> start;  // one more than there are rows
  std::vector<Entry> entries;
};

class Pattern {
 public:
  // `index[k]` is (input channel within the group) * taps + tap, ascending within each of the `outputs` rows that
  // `row[0..outputs]` bounds. Throws Error where that does not hold. Takes time O(kept weights + channels).
  Pattern(int64_t groups, int64_t inputs, int64_t outputs, int64_t taps, const int32_t* row, const int32_t* index);
  ~Pattern();

  int64_t kept() const { return static_cast<int64_t>(by_output.entries.size()); }
  // Throws Error where a convolution of this shape has other channels or taps.
  void require_fit(const ConvShape& shape) const;
  // How to run the passes at this shape; made when it is first asked for, the last few are kept. Thread-safe.
  std::shared_ptr<const ConvPlans> plans(const ConvShape& shape) const;

  Rows by_output;
  Rows by_input;

 private:
  void transpose();

  int64_t groups_;
  int64_t inputs_;
  int64_t outputs_;
  int64_t taps_;
  mutable std::mutex mutex_;
  mutable std::vector<std::shared_ptr<const ConvPlans>> plans_;
};

}  // namespace n2n::training
