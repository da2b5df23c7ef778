#include "conv_passes.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "thread_pool.h"
#include "work_space.h"

namespace n2n::training {
namespace {

constexpr uintptr_t kVectorBytes = 64;  // what the widest loads are aligned to

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// One stretch of the work whose sources are packed together: a part of the batch, a depth, a band of rows, a group.
struct Band {
  int64_t batch;  // first element
  int64_t depth;
  int64_t row;
  int64_t rows;
  int64_t group;
};

class Bands {
 public:
  Bands(const PassPlan& plan, int64_t batch)
      : plan_(plan),
        step_(static_cast<int64_t>(plan.blocking.vectors) * plan.blocking.lanes),
        parts_(ceil_div(batch, step_)),
        bands_(ceil_div(plan.pass.grid[1], plan.blocking.band_rows)) {}

  int64_t in_group() const { return parts_ * plan_.pass.grid[0] * bands_; }

  Band at(int64_t group, int64_t index) const {
    Band band;
    band.group = group;
    band.row = index % bands_ * plan_.blocking.band_rows;
    band.rows = std::min(plan_.blocking.band_rows, plan_.pass.grid[1] - band.row);
    band.depth = index / bands_ % plan_.pass.grid[0];
    band.batch = index / bands_ / plan_.pass.grid[0] * step_;
    return band;
  }

 private:
  const PassPlan& plan_;
  int64_t step_;
  int64_t parts_;
  int64_t bands_;
};

int64_t stretch(const Axes& size, int64_t batch) { return volume(size) * batch; }  // floats of a channel

void pack(const PassPlan& plan, const TrainingKernels& kernels, const Band& band, int64_t batch, const float* source,
          float* packed) {
  const Pass& pass = plan.pass;
  const Blocking& blocking = plan.blocking;
  std::vector<int64_t> slices;
  for (const int64_t offset : pass.offset[0]) {
    const int64_t slice = band.depth * pass.source_step[0] + offset;
    slices.push_back(slice >= 0 && slice < pass.source_size[0] ? slice : kOutsideRow);
  }
  std::vector<int64_t> rows;
  for (size_t i = 0; i < blocking.needed_row.size(); ++i) {
    const int64_t row = band.row * pass.source_step[1] + blocking.row_base + static_cast<int64_t>(i);
    const bool inside = row >= 0 && row < pass.source_size[1];
    rows.push_back(blocking.needed_row[i] == 0 ? kUnusedRow : inside ? row : kOutsideRow);
  }
  GatherJob job;
  job.channels = pass.sources;
  job.channel_stride = stretch(pass.source_size, batch);
  job.source = source + band.group * pass.sources * job.channel_stride + band.batch;
  job.packed = packed;
  job.slice = slices.data();
  job.slices = static_cast<int64_t>(slices.size());
  job.slice_stride = pass.source_size[1] * pass.source_size[2] * batch;
  job.row = rows.data();
  job.rows = static_cast<int64_t>(rows.size());
  job.row_stride = pass.source_size[2] * batch;
  job.plane_column = blocking.plane_base.data();
  job.planes = static_cast<int64_t>(blocking.plane_base.size());
  job.plane_width = blocking.plane_width;
  job.column_step = pass.source_step[2];
  job.width = pass.source_size[2];
  job.column_stride = batch;
  job.vectors = blocking.vectors;
  job.elements = std::min(batch - band.batch, static_cast<int64_t>(blocking.vectors) * blocking.lanes);
  job.packed_channel = blocking.channel_floats;
  kernels.gather(job);
}

WorkSpace& buffer(int which) {
  thread_local WorkSpace buffers[3];
  return buffers[which];
}

bool is_one_zero(const std::vector<int64_t>& offsets) { return offsets.size() == 1 && offsets[0] == 0; }

bool lies_packed(const PassPlan& plan, int64_t batch, const float* source) {
  const Pass& pass = plan.pass;
  const bool pointwise = std::all_of(std::begin(pass.offset), std::end(pass.offset), is_one_zero) &&
                         pass.source_step == Axes{1, 1, 1} && pass.source_size == pass.grid;
  return pointwise && pass.grid[0] == 1 && plan.blocking.channel_floats == stretch(pass.source_size, batch) &&
         reinterpret_cast<uintptr_t>(source) % kVectorBytes == 0;
}

// The sources of a band as `pack` leaves them: where they lie so in the tensor already, as those of linear layers do
// whose batch fills whole vectors, they are read there.
const float* packed_sources(const PassPlan& plan, const TrainingKernels& kernels, const Band& band, int64_t batch,
                            const float* source) {
  if (lies_packed(plan, batch, source)) {
    return source + band.group * plan.pass.sources * stretch(plan.pass.source_size, batch);
  }
  float* packed = buffer(0).floats(plan.blocking.packed_floats + 1);
  if (!plan.offset.empty()) pack(plan, kernels, band, batch, source, packed);
  return packed;
}

struct Block {
  int64_t row;  // within the band
  int64_t column;
  int rows;
  int columns;
  const float* packed;
  int64_t target;  // the block's first place in channel 0 of the tensor
  Places places;
};

void place(const PassPlan& plan, const Band& band, int64_t batch, Block& block) {
  const Pass& pass = plan.pass;
  const int vectors = plan.blocking.vectors;
  const int lanes = plan.blocking.lanes;
  const int64_t depth = pass.first[0] + band.depth * pass.step[0];
  const int64_t row = pass.first[1] + (band.row + block.row) * pass.step[1];
  const int64_t column = pass.first[2] + block.column * pass.step[2];
  const Axes& size = pass.target_size;
  block.target = ((depth * size[1] + row) * size[2] + column) * batch + band.batch;
  block.places.whole = true;
  int next = 0;
  for (int r = 0; r < block.rows; ++r) {
    for (int c = 0; c < block.columns; ++c) {
      for (int v = 0; v < vectors; ++v, ++next) {
        block.places.at[next] = (r * pass.step[1] * size[2] + c * pass.step[2]) * batch + v * lanes;
        const int64_t left = batch - band.batch - v * lanes;
        block.places.lanes[next] = static_cast<int>(std::clamp<int64_t>(left, 0, lanes));
        block.places.whole = block.places.whole && left >= lanes;
      }
    }
  }
}

template <typename Visit>
void each_block(const PassPlan& plan, const Band& band, int64_t batch, const float* packed, const Visit& visit) {
  const Blocking& blocking = plan.blocking;
  const int64_t place_floats = static_cast<int64_t>(blocking.vectors) * blocking.lanes;
  Block block;
  for (block.row = 0; block.row < band.rows; block.row += blocking.block_rows) {
    for (block.column = 0; block.column < plan.pass.grid[2]; block.column += blocking.columns) {
      block.rows = static_cast<int>(std::min(blocking.block_rows, band.rows - block.row));
      block.columns = static_cast<int>(std::min(blocking.columns, plan.pass.grid[2] - block.column));
      block.packed = packed + block.row * plan.pass.source_step[1] * blocking.row_floats + block.column * place_floats;
      place(plan, band, batch, block);
      visit(block);
    }
  }
}

struct MultiplyCall {
  const PassPlan& plan;
  const TrainingKernels& kernels;
  int64_t batch;
  const float* values;  // by entry
  const float* bias;
  const float* source;
  float* target;
};

void multiply_band(const MultiplyCall& call, const Band& band, int64_t first, int64_t last) {
  const Pass& pass = call.plan.pass;
  const Blocking& blocking = call.plan.blocking;
  const float* packed = packed_sources(call.plan, call.kernels, band, call.batch, call.source);
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
  job.channel_stride = stretch(pass.target_size, call.batch);
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

void multiply(const PassPlan& plan, const ConvPlans& plans, const float* values, const float* bias, const float* source,
              float* target, int threads) {
  const int64_t batch = plans.shape.batch;
  std::vector<float> ordered(plan.value.size());
  for (size_t i = 0; i < ordered.size(); ++i) ordered[i] = values[plan.value[i]];
  const MultiplyCall call{plan, plans.kernels, batch, ordered.data(), bias, source, target};
  const Bands bands(plan, batch);
  const int64_t tasks = bands.in_group() * plan.pass.groups;
  const int64_t wanted = threads > 1 && tasks % threads != 0 && tasks < 4 * threads ? ceil_div(2 * threads, tasks) : 1;
  const int64_t parts = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, plan.pass.targets / 8));
  parallel(threads, tasks * parts, [&](int64_t task) {
    const Band band = bands.at(task / parts / bands.in_group(), task / parts % bands.in_group());
    const int64_t part = task % parts;
    multiply_band(call, band, part * plan.pass.targets / parts, (part + 1) * plan.pass.targets / parts);
  });
}

struct WeightCall {
  const PassPlan& plan;
  const TrainingKernels& kernels;
  int64_t batch;
  const float* x;
  const float* dy;
  float* sums;  // by entry
};

void weight_part(const WeightCall& call, int64_t group, int64_t first, int64_t last) {
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
  job.sums = call.sums;
  CollectJob collect;
  collect.channel_stride = stretch(pass.target_size, call.batch);
  collect.first = first;
  collect.last = last;
  collect.block = gradient;
  for (int64_t index = 0; index < bands.in_group(); ++index) {
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

}  // namespace

void conv_forward(const ConvPlans& plans, const float* values, const float* bias, const float* x, float* y,
                  int threads) {
  multiply(plans.forward, plans, values, bias, x, y, threads);
}

void conv_input_gradient(const ConvPlans& plans, const float* values, const float* dy, float* dx, int threads) {
  for (const PassPlan& plan : plans.input()) multiply(plan, plans, values, nullptr, dy, dx, threads);
}

void conv_weight_gradient(const ConvPlans& plans, const float* x, const float* dy, float* gradient, int threads) {
  const PassPlan& plan = plans.weight;
  std::vector<float> sums(plan.value.size(), 0.0F);
  const WeightCall call{plan, plans.kernels, plans.shape.batch, x, dy, sums.data()};
  const int64_t groups = plan.pass.groups;
  const int64_t parts = std::clamp<int64_t>(ceil_div(threads, groups), 1, plan.pass.targets);
  if (!sums.empty()) {
    parallel(threads, groups * parts, [&](int64_t task) {
      const int64_t part = task % parts;
      weight_part(call, task / parts, part * plan.pass.targets / parts, (part + 1) * plan.pass.targets / parts);
    });
  }
  for (size_t i = 0; i < sums.size(); ++i) gradient[plan.value[i]] = sums[i];
}

}  // namespace n2n::training
