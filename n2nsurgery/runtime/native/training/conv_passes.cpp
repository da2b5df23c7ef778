#include "conv_passes.h"

#include <cstdint>

#include "bands.h"
#include "stream.h"
#include "thread_pool.h"
#include "weight_gradient.h"

namespace n2n::training {
namespace {

struct MultiplyCall {
  const PassPlan& plan;
  const TrainingKernels& kernels;
  int64_t batch;
  const float* values;  // by entry
  const float* bias;
  bool relu;
  const float* source;
  float* target;
};

void multiply_band(const MultiplyCall& call, const Band& band, const float* packed, int64_t first, int64_t last) {
  const Pass& pass = call.plan.pass;
  const Blocking& blocking = call.plan.blocking;
  float* partial = nullptr;
  if (blocking.tiles > 1) partial = buffer(1).floats((last - first) * kMostVectors * blocking.lanes);
  MultiplyJob job;
  job.row_pitch = pass.source_step[1] * blocking.row_floats;
  job.offset = call.plan.offset.data();
  job.value = call.values;
  job.first = first;
  job.last = last;
  job.bias = call.bias == nullptr ? nullptr : call.bias + band.group * pass.targets;
  job.partial = partial;
  job.relu = call.relu;
  job.channel_stride = stretch(pass.target_size, call.batch);
  job.stream = streams(call.target, pass.targets * pass.groups * job.channel_stride, call.batch, blocking.lanes);
  each_block(call.plan, band, call.batch, packed, [&](const Block& block) {
    job.packed = block.packed;
    job.target = call.target + band.group * pass.targets * job.channel_stride + block.target;
    job.places = &block.places;
    for (int64_t tile = 0; tile < blocking.tiles; ++tile) {
      job.start = call.plan.starts(band.group, tile);
      job.first_tile = tile == 0;
      job.last_tile = tile == blocking.tiles - 1;
      call.kernels.multiply(block.rows, block.columns * blocking.vectors, job);
    }
  });
}

void multiply(const PassPlan& plan, const ConvPlans& plans, const ConvForward& conv, int threads) {
  const int64_t batch = plan.batch;
  std::vector<float> ordered(plan.value.size());
  for (size_t i = 0; i < ordered.size(); ++i) ordered[i] = conv.values[plan.value[i]];
  const MultiplyCall call{plan, plans.kernels, batch, ordered.data(), conv.bias, conv.relu != 0, conv.x, conv.y};
  const Bands bands(plan, batch);
  const int64_t in_group = stretches(bands.in_group(), plan.pass.groups, threads);
  const int64_t tasks = in_group * plan.pass.groups;
  const int64_t targets = plan.pass.targets;
  const int64_t parts = channel_parts(tasks, targets, threads);
  parallel(threads, tasks * parts, [&](int64_t task) {
    const int64_t part = task % parts;
    const int64_t one = task / parts % in_group;
    PackedSources sources(plan, call.kernels, batch, call.source);
    for (int64_t i = one * bands.in_group() / in_group; i < (one + 1) * bands.in_group() / in_group; ++i) {
      const Band band = bands.at(task / parts / in_group, i);
      multiply_band(call, band, sources.of(band), part * targets / parts, (part + 1) * targets / parts);
    }
    finish_streams();
  });
}

void bias_gradient(const ConvPlans& plans, const ConvBackward& conv, int threads) {
  const int64_t count = stretch(plans.shape.output, plans.shape.batch);
  parallel(threads, plans.shape.outputs, [&](int64_t c) {
    BiasGradientJob job;
    job.y = conv.y == nullptr ? nullptr : conv.y + c * count;
    job.dy = conv.dy + c * count;
    job.passed = conv.y == nullptr ? nullptr : conv.passed + c * count;
    job.count = count;
    const double sum = plans.kernels.bias_gradient(job);
    if (conv.dbias != nullptr) conv.dbias[c] = static_cast<float>(sum);
  });
}

}  // namespace

void conv_forward(const ConvPlans& plans, const ConvForward& conv, int threads) {
  multiply(plans.forward, plans, conv, threads);
}

void conv_backward(const ConvPlans& plans, const ConvBackward& conv, int threads) {
  if (conv.y != nullptr || conv.dbias != nullptr) bias_gradient(plans, conv, threads);
  const float* dy = conv.y == nullptr ? conv.dy : conv.passed;
  if (conv.dx != nullptr) {
    const ConvForward back{conv.values, nullptr, dy, conv.dx, 0};  // from dy, as its x, to dx, as its y
    for (const PassPlan& plan : plans.input()) multiply(plan, plans, back, threads);
  }
  if (conv.dvalues != nullptr) weight_gradient(plans, conv.x, dy, conv.dvalues, threads);
}

}  // namespace n2n::training
