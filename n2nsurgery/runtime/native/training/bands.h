// How the work of a pass is cut into bands whose sources are packed together, and a band into blocks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <optional>

#include "../aligned_buffer.h"
#include "../rounding.h"
#include "conv_plans.h"

namespace n2n::training {

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

inline int64_t stretch(const Axes& size, int64_t batch) { return volume(size) * batch; }  // floats of a channel

// A pass reads its scratch memory channel by channel: each small page would need another entry of the page tables.
using WorkSpace = GrowingBuffer<kLargePage>;

// Scratch memory of the calling thread.
WorkSpace& buffer(int which);

// The packed sources of bands that one thread runs one after the other. A band that follows the one above finds the rows
// that both read where they are. Sources that lie in the tensor as they would be packed, as those of linear layers do
// whose batch fills whole vectors, are read there.
class PackedSources {
 public:
  PackedSources(const PassPlan& plan, const TrainingKernels& kernels, int64_t batch, const float* source);
  const float* of(const Band& band);  // packed row 0 of the band, in channel 0

 private:
  bool follows(const Band& band) const;
  void move_to_front();
  void pack(const Band& band, bool below);

  const PassPlan& plan_;
  const TrainingKernels& kernels_;
  int64_t batch_;
  const float* source_;
  bool in_place_;
  float* buffer_ = nullptr;
  std::optional<Band> last_;
  int64_t row_ = 0;  // of the buffer, where the last band begins
};

struct Block {
  int64_t row;  // within the band
  int64_t column;
  int rows;
  int columns;
  const float* packed;
  int64_t target;  // the block's first place in channel 0 of the tensor
  Places places;
};

void place(const PassPlan& plan, const Band& band, int64_t batch, Block& block);

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

// Into how many stretches of successive bands the bands of a group are cut, each of which is one thread's.
inline int64_t stretches(int64_t bands, int64_t groups, int threads) {
  return threads == 1 ? 1 : std::min(bands, ceil_div(4 * threads, groups));
}

// Into how many parts of its target channels each of `tasks` tasks is cut, so that the threads have as much to do. Each
// part packs the sources again.
inline int64_t channel_parts(int64_t tasks, int64_t targets, int threads) {
  if (tasks % threads == 0 || tasks >= 4 * threads) return 1;
  const int64_t wanted = std::min(threads / std::gcd<int64_t>(tasks, threads), ceil_div(2 * threads, tasks));
  return std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, targets / 8));
}

}  // namespace n2n::training
