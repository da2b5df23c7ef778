#include "pattern.h"

#include <string>

#include "../error.h"
#include "conv_plans.h"

namespace n2n::training {
namespace {

constexpr size_t kPlansKept = 4;  // full and last batch, in training and in evaluation
constexpr int64_t kMost = int64_t{1} << 30;

}  // namespace

Pattern::Pattern(int64_t groups, int64_t inputs, int64_t outputs, int64_t taps, const int32_t* row,
                 const int32_t* index)
    : groups_(groups), inputs_(inputs), outputs_(outputs), taps_(taps) {
  require(groups >= 1 && inputs >= 1 && outputs >= 1 && taps >= 1 && inputs % groups == 0 && outputs % groups == 0,
          "the pattern's channels are not a positive multiple of its groups");
  require(inputs <= kMost && outputs <= kMost && inputs / groups <= kMost / taps, "the pattern is too large");
  const int64_t width = inputs / groups * taps;
  require(row[0] == 0, "the pattern's first row does not begin at 0");
  for (int64_t o = 0; o < outputs; ++o) {
    require(row[o + 1] >= row[o] && row[o + 1] - row[o] <= width, "the pattern's rows are not in order");
  }
  by_output.start.assign(row, row + outputs + 1);
  by_output.entries.resize(static_cast<size_t>(row[outputs]));
  for (int64_t o = 0; o < outputs; ++o) {
    int64_t before = -1;
    for (int32_t k = row[o]; k < row[o + 1]; ++k) {
      require(index[k] > before && index[k] < width,
              "row " + std::to_string(o) + " of the pattern is not ascending within " + std::to_string(width));
      before = index[k];
      by_output.entries[static_cast<size_t>(k)] = {static_cast<int32_t>(index[k] / taps),
                                                   static_cast<int32_t>(index[k] % taps), k};
    }
  }
  transpose();
}

Pattern::~Pattern() = default;

void Pattern::transpose() {
  const int64_t in = inputs_ / groups_;
  const int64_t out = outputs_ / groups_;
  std::vector<int32_t>& start = by_input.start;
  start.assign(static_cast<size_t>(inputs_) + 1, 0);
  const auto channel = [&](int64_t o, const Entry& entry) { return static_cast<size_t>(o / out * in + entry.source); };
  const auto each = [&](auto&& visit) {
    for (int64_t o = 0; o < outputs_; ++o) {
      for (int32_t k = by_output.start[o]; k < by_output.start[o + 1]; ++k) visit(o, by_output.entries[k]);
    }
  };
  each([&](int64_t o, const Entry& entry) { ++start[channel(o, entry) + 1]; });
  for (size_t c = 0; c < static_cast<size_t>(inputs_); ++c) start[c + 1] += start[c];
  std::vector<int32_t> next(start.begin(), start.end() - 1);
  by_input.entries.resize(by_output.entries.size());
  each([&](int64_t o, const Entry& entry) {
    by_input.entries[static_cast<size_t>(next[channel(o, entry)]++)] = {static_cast<int32_t>(o % out), entry.tap,
                                                                        entry.value};
  });
}

void Pattern::require_fit(const ConvShape& shape) const {
  require(shape.groups == groups_ && shape.inputs == inputs_ && shape.outputs == outputs_ && shape.taps() == taps_,
          "the pattern is of " + std::to_string(outputs_) + " x " + std::to_string(inputs_ / groups_) + " x " +
              std::to_string(taps_) + " weights, the layer of " + std::to_string(shape.outputs) + " x " +
              std::to_string(shape.group_inputs()) + " x " + std::to_string(shape.taps()));
}

std::shared_ptr<const ConvPlans> Pattern::plans(const ConvShape& shape) const {
  const std::lock_guard<std::mutex> guard(mutex_);
  for (const auto& known : plans_) {
    if (known->shape == shape) return known;
  }
  if (plans_.size() == kPlansKept) plans_.erase(plans_.begin());
  plans_.push_back(make_plans(*this, shape));
  return plans_.back();
}

}  // namespace n2n::training
