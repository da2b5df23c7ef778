// Sparse weights in the order in which the kernels read them, for one tiling.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "geometry.h"
#include "kernels.h"
#include "tiling.h"
#include "weights.h"

namespace n2n {

// Which aligned quadruples of output channels (counted within their group) share all their positions.
class BlockMap {
 public:
  BlockMap() = default;
  BlockMap(const SparseWeights& weights, int64_t groups);

  bool any() const { return count_ != 0; }
  double share() const;  // of the weights that lie in such blocks
  bool contains(int64_t output) const { return !blocked_.empty() && blocked_[static_cast<size_t>(output)] != 0; }

 private:
  std::vector<uint8_t> blocked_;  // per output channel
  int64_t count_ = 0;
  int64_t blocked_nnz_ = 0;
  int64_t nnz_ = 0;
};

struct PackedWeights {
  // The runs of one group, tile and chunk of output channels.
  struct Segment {
    int64_t run = 0, run_count = 0;
    int64_t block_run = 0, block_run_count = 0;
  };

  int64_t tiles = 1;
  int64_t chunks = 1;
  std::vector<Segment> segments;  // [group][tile][chunk]
  std::vector<int64_t> bounds;    // [group][chunks + 1]: outputs of each chunk, counted within the group
  std::vector<Run> runs;
  std::vector<Run> block_runs;
  std::vector<int32_t> channels;        // output channels within their group
  std::vector<int32_t> block_channels;
  std::shared_ptr<Record[]> records;    // uninitialised until filled: large, and touched once
  std::shared_ptr<BlockRecord[]> block_records;

  const Segment& segment(int64_t group, int64_t tile, int64_t chunk) const {
    return segments[static_cast<size_t>((group * tiles + tile) * chunks + chunk)];
  }
};

PackedWeights pack_weights(const SparseWeights& weights, const BlockMap& blocks, const ConvProblem& problem,
                           const Tiling& tiling, const Layout& layout, int lanes);

}  // namespace n2n
