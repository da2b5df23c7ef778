#include "bands.h"

#include <cstring>

namespace n2n::training {
namespace {

constexpr uintptr_t kVectorBytes = 64;  // what the widest loads are aligned to

bool lies_packed(const PassPlan& plan, int64_t batch, const float* source) {
  const Blocking& blocking = plan.blocking;
  const Axes& grid = plan.pass.grid;
  return is_pointwise(plan.pass) && grid[0] == 1 && grid[1] == blocking.row_capacity &&
         batch == static_cast<int64_t>(blocking.vectors) * blocking.lanes &&
         reinterpret_cast<uintptr_t>(source) % kVectorBytes == 0;
}

}  // namespace

WorkSpace& buffer(int which) {
  thread_local WorkSpace buffers[3];
  return buffers[which];
}

PackedSources::PackedSources(const PassPlan& plan, const TrainingKernels& kernels, int64_t batch, const float* source)
    : plan_(plan), kernels_(kernels), batch_(batch), source_(source), in_place_(lies_packed(plan, batch, source)) {
  if (!in_place_) buffer_ = buffer(0).floats(plan.blocking.packed_floats + 1);
}

const float* PackedSources::of(const Band& band) {
  if (in_place_) return source_ + band.group * plan_.pass.sources * stretch(plan_.pass.source_size, batch_);
  const Blocking& blocking = plan_.blocking;
  const bool below = follows(band);
  row_ = below ? row_ + blocking.advance : 0;
  if (row_ + static_cast<int64_t>(blocking.needed_row.size()) > blocking.row_capacity) move_to_front();
  if (!plan_.offset.empty()) pack(band, below);
  last_ = band;
  return buffer_ + row_ * blocking.row_floats;
}

bool PackedSources::follows(const Band& band) const {
  return last_ && band.group == last_->group && band.batch == last_->batch && band.depth == last_->depth &&
         band.row == last_->row + plan_.blocking.band_rows;
}

// Begins again at row 0, with the rows that this band shares with the one above.
void PackedSources::move_to_front() {
  const Blocking& blocking = plan_.blocking;
  const int64_t shared = static_cast<int64_t>(blocking.needed_row.size()) - blocking.advance;
  for (float* channel = buffer_; shared > 0 && channel < buffer_ + blocking.packed_floats;
       channel += blocking.channel_floats) {
    std::memmove(channel, channel + row_ * blocking.row_floats,
                 static_cast<size_t>(shared * blocking.row_floats) * sizeof(float));
  }
  row_ = 0;
}

void PackedSources::pack(const Band& band, bool below) {
  const Pass& pass = plan_.pass;
  const Blocking& blocking = plan_.blocking;
  std::vector<int64_t> slices;
  for (const int64_t offset : pass.offset[0]) {
    const int64_t slice = band.depth * pass.source_step[0] + offset;
    slices.push_back(slice >= 0 && slice < pass.source_size[0] ? slice : kOutsideRow);
  }
  std::vector<int64_t> rows;
  for (size_t i = 0; i < blocking.needed_row.size(); ++i) {
    const int64_t row = band.row * pass.source_step[1] + blocking.row_base + static_cast<int64_t>(i);
    const bool inside = row >= 0 && row < pass.source_size[1];
    const size_t above = i + static_cast<size_t>(blocking.advance);
    const bool there = below && above < blocking.needed_row.size() && blocking.needed_row[above] != 0;
    rows.push_back(there || blocking.needed_row[i] == 0 ? kUnusedRow : inside ? row : kOutsideRow);
  }
  GatherJob job;
  job.channels = pass.sources;
  job.channel_stride = stretch(pass.source_size, batch_);
  job.source = source_ + band.group * pass.sources * job.channel_stride + band.batch;
  job.packed = buffer_ + row_ * blocking.row_floats;
  job.slice = slices.data();
  job.slices = static_cast<int64_t>(slices.size());
  job.slice_stride = pass.source_size[1] * pass.source_size[2] * batch_;
  job.row = rows.data();
  job.rows = static_cast<int64_t>(rows.size());
  job.row_stride = pass.source_size[2] * batch_;
  job.plane_column = blocking.plane_base.data();
  job.planes = static_cast<int64_t>(blocking.plane_base.size());
  job.plane_width = blocking.plane_width;
  job.column_step = pass.source_step[2];
  job.width = pass.source_size[2];
  job.column_stride = batch_;
  job.vectors = blocking.vectors;
  job.elements = std::min(batch_ - band.batch, static_cast<int64_t>(blocking.vectors) * blocking.lanes);
  job.packed_channel = blocking.channel_floats;
  kernels_.gather(job);
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
