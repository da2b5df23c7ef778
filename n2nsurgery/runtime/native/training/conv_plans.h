// How a pass is cut: blocks of target places that stay in registers, bands of rows whose sources are packed into the
// second-level cache, tiles of source channels that fit into the first.
//
//   packed:  [source channel][depth tap][row][column phase][column][vectors of the batch]
//   block:   `block_rows` rows of `columns` places, each of `vectors` vectors of the batch
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "pass.h"
#include "training_kernels.h"

namespace n2n::training {

struct Blocking {
  int lanes = 1;
  int vectors = 1;  // of the batch
  int64_t columns = 1;
  int64_t block_rows = 1;
  int64_t band_rows = 1;  // a multiple of block_rows
  // The packed buffer; positions in vectors, sizes in floats.
  std::vector<int64_t> needed_row;  // 1 where some tap reads this row of a band, counted from row_base
  int64_t advance = 1;              // packed rows from a band's first to that of the band below
  int64_t row_capacity = 1;         // of the buffer, in which the bands move down
  int64_t row_base = 0;             // source row of packed row 0, for a band that begins at target row 0
  std::vector<int64_t> plane_base;  // source column of each plane's first element
  int64_t plane_width = 0;
  std::vector<int64_t> tap_column;  // by column tap: where its target column 0 lies in a packed row, in places
  int64_t row_floats = 0;
  int64_t channel_floats = 0;  // of one source channel and depth tap
  int64_t packed_floats = 0;
  int64_t tile_channels = 1;
  int64_t tiles = 1;
};

struct PassPlan {
  Pass pass;  // without its rows, which are here in the order in which they are run
  int64_t batch = 1;  // of its places
  Blocking blocking;
  std::vector<int32_t> start;   // [group][tile][target channel], one more at the end
  std::vector<int32_t> offset;  // by entry: bytes into the packed buffer
  std::vector<int32_t> value;   // by entry: which value

  const int32_t* starts(int64_t group, int64_t tile) const {
    return start.data() + (group * blocking.tiles + tile) * pass.targets;
  }
};

// Chooses blocks of at most `most_vectors` vectors and lays out the entries. Throws Error where a packed buffer would
// need more than 2 GiB.
PassPlan make_pass_plan(Pass pass, int64_t batch, int lanes, int most_vectors);

// The plans of one pattern at one shape; the input gradient's are made when they are first asked for.
struct ConvPlans {
  ConvShape shape;
  const TrainingKernels& kernels;
  const Pattern& pattern;
  PassPlan forward;
  PassPlan weight;

  const std::vector<PassPlan>& input() const;

 private:
  mutable std::once_flag made_;
  mutable std::vector<PassPlan> input_;

 public:
  ConvPlans(const Pattern& pattern, const ConvShape& shape);
};

std::shared_ptr<const ConvPlans> make_plans(const Pattern& pattern, const ConvShape& shape);

}  // namespace n2n::training
