#include "packed_weights.h"

#include <algorithm>
#include <numeric>

#include "large_pages.h"
#include "rounding.h"

namespace n2n {
namespace {

constexpr int64_t kBlock = 4;

int64_t row_length(const SparseWeights& weights, int64_t output) {
  const auto at = static_cast<size_t>(output);
  return weights.row[at + 1] - weights.row[at];
}

bool same_positions(const SparseWeights& weights, int64_t a, int64_t b) {
  if (row_length(weights, a) != row_length(weights, b)) return false;
  const int64_t first = weights.row[static_cast<size_t>(a)];
  const int64_t other = weights.row[static_cast<size_t>(b)];
  const auto length = row_length(weights, a);
  return std::equal(weights.channel.begin() + first, weights.channel.begin() + first + length,
                    weights.channel.begin() + other) &&
         std::equal(weights.tap.begin() + first, weights.tap.begin() + first + length, weights.tap.begin() + other);
}

// Fills the records of one group, tile and chunk after the other.
class Packer {
 public:
  Packer(const SparseWeights& weights, const BlockMap& blocks, const ConvProblem& problem, const Tiling& tiling,
         const Layout& layout, int lanes, PackedWeights& packed)
      : weights_(weights), blocks_(blocks), problem_(problem), tiling_(tiling), packed_(packed) {
    const int64_t unit = layout.scaled ? lanes : 1;
    depth_taps_ = problem.kernel[0];
    plane_taps_ = problem.kernel[1] * problem.kernel[2];
    channel_step_ = layout.packed_size / unit;
    for (const int64_t offset : layout.tap_offset) tap_offset_.push_back(offset / unit);
    cursor_.assign(weights.row.begin(), weights.row.end() - 1);
    limit_ = cursor_;
  }

  void reserve() {
    int64_t records = 0;
    int64_t block_records = 0;
    const int64_t outputs = weights_.shape.outputs;
    for (int64_t o = 0; o < outputs; ++o) {
      const bool blocked = blocks_.contains(o);
      // every tile's last record may be partly filled
      const int64_t bound = row_length(weights_, o) / 4 + std::min(packed_.tiles, row_length(weights_, o)) + 1;
      (blocked ? block_records : records) += bound;
    }
    packed_.records = allocate_array<Record>(static_cast<size_t>(records));
    packed_.block_records = allocate_array<BlockRecord>(static_cast<size_t>(block_records / kBlock + 1));
  }

  void fill(int64_t group, int64_t tile, int64_t first, int64_t last) {
    const int64_t base = group * problem_.group_outputs;
    tile_begin_ = tile * tiling_.channels;
    tile_end_ = tile_begin_ + tiling_.channels;
    rows_.clear();
    quadruples_.clear();
    for (int64_t o = first; o < last; ++o) {
      find_limit(base + o);
      if (!blocks_.contains(base + o)) {
        rows_.push_back(o);
      } else if (o % kBlock == 0) {
        quadruples_.push_back(o);
      }
    }
    PackedWeights::Segment segment;
    segment.run = static_cast<int64_t>(packed_.runs.size());
    sort_by_length(rows_, base);
    for (const int64_t o : sorted_) {
      append_run(packed_.runs, packed_.channels, o, length(base + o), record_);
      write_row(base + o);
    }
    segment.run_count = static_cast<int64_t>(packed_.runs.size()) - segment.run;
    segment.block_run = static_cast<int64_t>(packed_.block_runs.size());
    sort_by_length(quadruples_, base);
    for (const int64_t o : sorted_) {
      append_run(packed_.block_runs, packed_.block_channels, o, length(base + o), block_record_);
      write_quadruple(base + o);
    }
    segment.block_run_count = static_cast<int64_t>(packed_.block_runs.size()) - segment.block_run;
    packed_.segments.push_back(segment);
    for (int64_t o = first; o < last; ++o) cursor_[static_cast<size_t>(base + o)] = limit_[static_cast<size_t>(base + o)];
    open_runs_ = false;
  }

 private:
  int64_t length(int64_t output) const {
    return limit_[static_cast<size_t>(output)] - cursor_[static_cast<size_t>(output)];
  }

  // Tiles hold whole input channels: their size is a multiple of the number of depth taps.
  void find_limit(int64_t output) {
    const auto at = static_cast<size_t>(output);
    const int64_t end = weights_.row[at + 1];
    if (packed_.tiles == 1) {
      limit_[at] = end;
      return;
    }
    const auto behind = static_cast<int32_t>(tile_end_ / depth_taps_);
    int64_t entry = cursor_[at];  // a step at a time: a tile holds few weights of one output
    while (entry < end && weights_.channel[static_cast<size_t>(entry)] < behind) ++entry;
    limit_[at] = entry;
  }

  // Longest first. Equal lengths side by side give the inner loop a trip count that the processor predicts.
  void sort_by_length(const std::vector<int64_t>& outputs, int64_t base) {
    int64_t longest = 0;
    for (const int64_t o : outputs) longest = std::max(longest, length(base + o));
    start_.assign(static_cast<size_t>(longest) + 2, 0);
    for (const int64_t o : outputs) ++start_[static_cast<size_t>(longest - length(base + o)) + 1];
    for (size_t i = 1; i < start_.size(); ++i) start_[i] += start_[i - 1];
    sorted_.resize(outputs.size());
    for (const int64_t o : outputs) sorted_[static_cast<size_t>(start_[static_cast<size_t>(longest - length(base + o))]++)] = o;
    open_runs_ = false;
  }

  void append_run(std::vector<Run>& runs, std::vector<int32_t>& channels, int64_t output, int64_t count,
                  int64_t record) {
    const auto slot = static_cast<int32_t>(channels.size());
    channels.push_back(static_cast<int32_t>(output));
    if (!open_runs_ || runs.back().count != count) {
      runs.push_back({slot, slot, static_cast<int32_t>(count), 0, record});
      open_runs_ = true;
    }
    runs.back().last = slot + 1;
  }

  uint16_t offset(int64_t entry) const {
    const auto at = static_cast<size_t>(entry);
    int64_t channel = weights_.channel[at];
    int64_t tap = weights_.tap[at];
    if (depth_taps_ != 1) {
      channel = channel * depth_taps_ + tap / plane_taps_;
      tap %= plane_taps_;
    }
    return static_cast<uint16_t>((channel - tile_begin_) * channel_step_ + tap_offset_[static_cast<size_t>(tap)]);
  }

  void write_row(int64_t output) {
    const int64_t end = limit_[static_cast<size_t>(output)];
    for (int64_t entry = cursor_[static_cast<size_t>(output)]; entry < end; entry += 4) {
      Record record{};
      const int64_t filled = std::min<int64_t>(4, end - entry);
      for (int64_t j = 0; j < filled; ++j) {
        record.offset[j] = offset(entry + j);
        record.value[j] = weights_.value[static_cast<size_t>(entry + j)];
      }
      packed_.records[static_cast<size_t>(record_++)] = record;
    }
  }

  void write_quadruple(int64_t output) {
    const int64_t begin = cursor_[static_cast<size_t>(output)];
    const int64_t count = length(output);
    for (int64_t i = 0; i < count; i += 4) {
      BlockRecord record{};
      for (int64_t j = 0; j < std::min<int64_t>(4, count - i); ++j) {
        record.offset[j] = offset(begin + i + j);
        for (int64_t k = 0; k < kBlock; ++k) {
          record.value[j][k] = weights_.value[static_cast<size_t>(cursor_[static_cast<size_t>(output + k)] + i + j)];
        }
      }
      packed_.block_records[static_cast<size_t>(block_record_++)] = record;
    }
  }

  const SparseWeights& weights_;
  const BlockMap& blocks_;
  const ConvProblem& problem_;
  const Tiling& tiling_;
  PackedWeights& packed_;
  int64_t depth_taps_ = 1;
  int64_t plane_taps_ = 1;
  int64_t channel_step_ = 0;
  int64_t tile_begin_ = 0;
  int64_t tile_end_ = 0;
  int64_t record_ = 0;
  int64_t block_record_ = 0;
  bool open_runs_ = false;
  std::vector<int64_t> tap_offset_;
  std::vector<int64_t> cursor_;  // per output: first entry of the current tile
  std::vector<int64_t> limit_;   // per output: first entry behind it
  std::vector<int64_t> rows_, quadruples_, sorted_, start_;
};

constexpr int64_t kOutputCost = 4;  // of beginning and ending one output in one tile, in weights

// Cuts a group's outputs into chunks of whole quadruples, and of whole outputs that go together, which take about
// equally long.
std::vector<int64_t> chunk_bounds(const SparseWeights& weights, int64_t base, const ConvProblem& problem,
                                  const PackedWeights& packed) {
  const int64_t outputs = problem.group_outputs;
  const int64_t step = std::lcm(kBlock, problem.together);
  std::vector<int64_t> bounds{0};
  const int64_t begin = weights.row[static_cast<size_t>(base)];
  const auto cost_until = [&](int64_t o) {
    return weights.row[static_cast<size_t>(base + o)] - begin + o * packed.tiles * kOutputCost;
  };
  int64_t o = 0;
  for (int64_t chunk = 1; chunk < packed.chunks; ++chunk) {
    while (o < outputs && cost_until(o) * packed.chunks < cost_until(outputs) * chunk) o = std::min(o + step, outputs);
    bounds.push_back(o);
  }
  bounds.push_back(outputs);
  return bounds;
}

}  // namespace

BlockMap::BlockMap(const SparseWeights& weights, int64_t groups) : nnz_(weights.nnz()) {
  const int64_t per_group = weights.shape.outputs / groups;
  blocked_.assign(static_cast<size_t>(weights.shape.outputs), 0);
  for (int64_t group = 0; group < groups; ++group) {
    for (int64_t o = 0; o + kBlock <= per_group; o += kBlock) {
      const int64_t first = group * per_group + o;
      if (row_length(weights, first) == 0) continue;
      bool same = true;
      for (int64_t k = 1; k < kBlock && same; ++k) same = same_positions(weights, first, first + k);
      if (!same) continue;
      std::fill_n(blocked_.begin() + first, kBlock, uint8_t{1});
      ++count_;
      blocked_nnz_ += kBlock * row_length(weights, first);
    }
  }
}

double BlockMap::share() const {
  return nnz_ == 0 ? 0.0 : static_cast<double>(blocked_nnz_) / static_cast<double>(nnz_);
}

PackedWeights pack_weights(const SparseWeights& weights, const BlockMap& blocks, const ConvProblem& problem,
                           const Tiling& tiling, const Layout& layout, int lanes) {
  PackedWeights packed;
  const int64_t packed_channels = problem.group_inputs * problem.kernel[0];
  packed.tiles = ceil_div(packed_channels, tiling.channels);
  packed.chunks = tiling.chunks;
  Packer packer(weights, blocks, problem, tiling, layout, lanes, packed);
  packer.reserve();
  for (int64_t group = 0; group < problem.groups; ++group) {
    const std::vector<int64_t> bounds =
        chunk_bounds(weights, group * problem.group_outputs, problem, packed);
    packed.bounds.insert(packed.bounds.end(), bounds.begin(), bounds.end());
    for (int64_t tile = 0; tile < packed.tiles; ++tile) {
      for (size_t chunk = 0; chunk + 1 < bounds.size(); ++chunk) {
        packer.fill(group, tile, bounds[chunk], bounds[chunk + 1]);
      }
    }
  }
  return packed;
}

}  // namespace n2n
