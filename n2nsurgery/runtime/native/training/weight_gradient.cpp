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
};

// The bands of one share, for target channels [first, last) of the group.
void weight_part(const WeightCall& call, int64_t group, int64_t share, int64_t first, int64_t last) {
  const Pass& pass = call.plan.pass;
  const Blocking& blocking = call.plan.blocking;
  const Bands bands(call.plan, call.batch);
  float* gradient = buffer(2).floats((last - first) * kMostVectors * blocking.lanes);
  WeightJob job;
  job.row_pitch = pass.source_step[1] * blocking.row_floats;
  job.offset = call.plan.offset.data();
  job.first = first;
  job.last = last;
  job.gradient = gradient;
  job.sums = call.sums + share * static_cast<int64_t>(call.plan.value.size());
  CollectJob collect;
  collect.channel_stride = stretch(pass.target_size, call.batch);
  collect.first = first;
  collect.last = last;
  collect.block = gradient;
  const int64_t end = (share + 1) * bands.in_group() / call.shares;
  for (int64_t index = share * bands.in_group() / call.shares; index < end; ++index) {
    const Band band = bands.at(group, index);
    const float* packed = packed_sources(call.plan, call.kernels, band, call.batch, call.x);
    each_block(call.plan, band, call.batch, packed, [&](const Block& block) {
      collect.source = call.dy + group * pass.targets * collect.channel_stride + block.target;
      collect.places = &block.places;
      collect.vectors = block.rows * block.columns * blocking.vectors;
      call.kernels.collect(collect);
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
  const int64_t shares = std::clamp<int64_t>(Bands(plan, plans.shape.batch).in_group(), 1, kMostShares);
  std::vector<float> sums(static_cast<size_t>(shares) * plan.value.size(), 0.0F);
  const WeightCall call{plan, plans.kernels, plans.shape.batch, x, dy, sums.data(), shares};
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
