#include "bands.h"

#include <iterator>

namespace n2n::training {
namespace {

constexpr uintptr_t kVectorBytes = 64;  // what the widest loads are aligned to

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

bool is_one_zero(const std::vector<int64_t>& offsets) { return offsets.size() == 1 && offsets[0] == 0; }

bool lies_packed(const PassPlan& plan, int64_t batch, const float* source) {
  const Pass& pass = plan.pass;
  const bool pointwise = std::all_of(std::begin(pass.offset), std::end(pass.offset), is_one_zero) &&
                         pass.source_step == Axes{1, 1, 1} && pass.source_size == pass.grid;
  return pointwise && pass.grid[0] == 1 && plan.blocking.channel_floats == stretch(pass.source_size, batch) &&
         reinterpret_cast<uintptr_t>(source) % kVectorBytes == 0;
}

}  // namespace

WorkSpace& buffer(int which) {
  thread_local WorkSpace buffers[3];
  return buffers[which];
}

const float* packed_sources(const PassPlan& plan, const TrainingKernels& kernels, const Band& band, int64_t batch,
                            const float* source) {
  if (lies_packed(plan, batch, source)) {
    return source + band.group * plan.pass.sources * stretch(plan.pass.source_size, batch);
  }
  float* packed = buffer(0).floats(plan.blocking.packed_floats + 1);
  if (!plan.offset.empty()) pack(plan, kernels, band, batch, source, packed);
  return packed;
}

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

}  // namespace n2n::training
