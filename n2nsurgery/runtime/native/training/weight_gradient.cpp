#include "weight_gradient.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "bands.h"
#include "thread_pool.h"

namespace n2n::training {
namespace {

constexpr int64_t kMostShares = 4;

struct WeightCall {
  const PassPlan& plan;
  const TrainingKernels& kernels;
  int64_t batch;
  const float* x;
  const float* dy;
  float* sums;  // by share and entry
  int64_t shares;
  int64_t collected_at[kMostVectors];  // by vector of a collected block
};

// The block's gradient where it lies, or collected: for several tiles, which read it again, and where vectors lack lanes.
void find_gradient(const WeightCall& call, const CollectJob& collect, WeightJob& job) {
  if (call.plan.blocking.tiles == 1 && collect.places->whole) {
    job.gradient = collect.source + collect.first * collect.channel_stride;
    job.channel_stride = collect.channel_stride;
    job.at = collect.places->at;
    return;
  }
  call.kernels.collect(collect);
  job.gradient = collect.block;
  job.channel_stride = static_cast<int64_t>(collect.vectors) * call.plan.blocking.lanes;
  job.at = call.collected_at;
}

// The bands of one share, for target channels [first, last) of the group.
void weight_part(const WeightCall& call, int64_t group, int64_t share, int64_t first, int64_t last) {
  const Pass& pass = call.plan.pass;
  const Blocking& blocking = call.plan.blocking;
  const Bands bands(call.plan, call.batch);
  WeightJob job;
  job.row_pitch = pass.source_step[1] * blocking.row_floats;
  job.offset = call.plan.offset.data();
  job.first = first;
  job.last = last;
  job.sums = call.sums + share * static_cast<int64_t>(call.plan.value.size());
  CollectJob collect;
  collect.channel_stride = stretch(pass.target_size, call.batch);
  collect.first = first;
  collect.last = last;
  collect.block = buffer(2).floats((last - first) * kMostVectors * blocking.lanes);
  PackedSources sources(call.plan, call.kernels, call.batch, call.x);
  const int64_t end = (share + 1) * bands.in_group() / call.shares;
  for (int64_t index = share * bands.in_group() / call.shares; index < end; ++index) {
    const Band band = bands.at(group, index);
    each_block(call.plan, band, call.batch, sources.of(band), [&](const Block& block) {
      collect.source = call.dy + group * pass.targets * collect.channel_stride + block.target;
      collect.places = &block.places;
      collect.vectors = block.rows * block.columns * blocking.vectors;
      find_gradient(call, collect, job);
      job.packed = block.packed;
      for (int64_t tile = 0; tile < blocking.tiles; ++tile) {
        job.start = call.plan.starts(group, tile);
        call.kernels.weight_gradient(block.rows, block.columns * blocking.vectors, job);
      }
    });
  }
}

// gradient[value] = the sum over the shares, a stretch of entries to a task.
void add_shares(const WeightCall& call, float* gradient, int threads) {
  constexpr int64_t kEntries = 1 << 14;
  const auto count = static_cast<int64_t>(call.plan.value.size());
  parallel(threads, ceil_div(count, kEntries), [&](int64_t task) {
    const int64_t end = std::min(count, (task + 1) * kEntries);
    for (int64_t i = task * kEntries; i < end; ++i) {
      float sum = call.sums[i];
      for (int64_t share = 1; share < call.shares; ++share) sum += call.sums[share * count + i];
      gradient[call.plan.value[static_cast<size_t>(i)]] = sum;
    }
  });
}

}  // namespace

void weight_gradient(const ConvPlans& plans, const float* x, const float* dy, float* gradient, int threads) {
  const PassPlan& plan = plans.weight;
  if (plan.value.empty()) return;
  const int64_t shares = std::clamp<int64_t>(Bands(plan, plan.batch).in_group(), 1, kMostShares);
  std::vector<float> sums(static_cast<size_t>(shares) * plan.value.size(), 0.0F);
  WeightCall call{plan, plans.kernels, plan.batch, x, dy, sums.data(), shares, {}};
  for (int v = 0; v < kMostVectors; ++v) call.collected_at[v] = static_cast<int64_t>(v) * plan.blocking.lanes;
  const int64_t tasks = plan.pass.groups * shares;
  const int64_t targets = plan.pass.targets;
  const int64_t parts = channel_parts(tasks, targets, threads);
  parallel(threads, tasks * parts, [&](int64_t task) {
    const int64_t part = task % parts;
    const int64_t share = task / parts % shares;
    weight_part(call, task / parts / shares, share, part * targets / parts, (part + 1) * targets / parts);
  });
  add_shares(call, gradient, threads);
}

}  // namespace n2n::training
