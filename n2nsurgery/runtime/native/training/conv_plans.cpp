#include "conv_plans.h"

#include <algorithm>
#include <utility>

#include "../error.h"
#include "../processor.h"
#include "../rounding.h"

namespace n2n::training {
namespace {

constexpr int64_t kMostBytes = (int64_t{1} << 31) - 1;
// Measured: a line costs about this many times as much from the second-level cache as from the first.
constexpr double kSecondLevelCost = 2.2;
constexpr double kSumsCost = 1.5;  // a line of the sums between tiles, which is read or written in order
constexpr int64_t kBandsBelow = 4;  // that find room in the buffer before its rows are moved to its front
constexpr double kManyUses = 40;   // of a packed vector

struct Span {
  int64_t low;
  int64_t high;
};

Span span_of(const std::vector<int64_t>& offsets) {
  if (offsets.empty()) return {0, 0};
  const auto [low, high] = std::minmax_element(offsets.begin(), offsets.end());
  return {*low, *high};
}

// All vectors of a pointwise pass lie side by side: it is taken as that of an image whose rows are blocks of vectors, so
// that what is packed is read in long stretches.
void flatten(int most_vectors, PassPlan& plan) {
  Pass& pass = plan.pass;
  const int64_t lanes = plan.blocking.lanes;
  if (!is_pointwise(pass) || plan.batch % lanes != 0 || plan.batch == 0) return;
  const int64_t vectors = volume(pass.grid) * plan.batch / lanes;
  int64_t columns = std::min<int64_t>(most_vectors, vectors);
  while (vectors % columns != 0) --columns;
  if (columns < vectors && 2 * columns <= most_vectors) return;
  pass.grid = pass.source_size = pass.target_size = {1, vectors / columns, columns};
  plan.batch = lanes;
}

// How often a packed vector is read, on average.
double uses(const Pass& pass) {
  return static_cast<double>(pass.rows.entries.size()) / static_cast<double>(pass.sources * pass.groups);
}

// The shape of a block: whole rows where they are short, else an even share of one. Where little is done with what is
// packed, longer stretches of the batch are copied at once; else the block's sources shall be few.
void choose_block(const Pass& pass, int64_t batch, int most_vectors, Blocking& blocking) {
  const int64_t all = ceil_div(batch, blocking.lanes);
  const int64_t least = std::min<int64_t>(all, uses(pass) < kManyUses ? 2 : 1);
  const int64_t room = most_vectors / least;
  blocking.columns = ceil_div(pass.grid[2], ceil_div(pass.grid[2], room));
  if (blocking.columns == pass.grid[2]) {
    blocking.block_rows = std::min<int64_t>({kMostBlockRows, pass.grid[1], room / blocking.columns});
  }
  const int64_t vectors = std::min(all, most_vectors / (blocking.columns * blocking.block_rows));
  blocking.vectors = static_cast<int>(ceil_div(all, ceil_div(all, vectors)));
}

// How columns are packed: one plane for each phase of the stride that some tap reads.
void lay_columns(const Pass& pass, Blocking& blocking) {
  const int64_t step = pass.source_step[2];
  const Span span = span_of(pass.offset[2]);
  std::vector<int64_t> plane_of(static_cast<size_t>(step), -1);
  for (const int64_t offset : pass.offset[2]) {
    int64_t& plane = plane_of[static_cast<size_t>((offset - span.low) % step)];
    if (plane >= 0) continue;
    plane = static_cast<int64_t>(blocking.plane_base.size());
    blocking.plane_base.push_back(span.low + (offset - span.low) % step);
  }
  blocking.plane_width = pass.grid[2] + (span.high - span.low) / step;
  for (const int64_t offset : pass.offset[2]) {
    const int64_t plane = plane_of[static_cast<size_t>((offset - span.low) % step)];
    blocking.tap_column.push_back(plane * blocking.plane_width + (offset - span.low) / step);
  }
  const auto planes = static_cast<int64_t>(blocking.plane_base.size());
  blocking.row_floats = planes * blocking.plane_width * blocking.vectors * blocking.lanes;
}

int64_t packed_rows(const Pass& pass, int64_t band_rows) {
  const Span span = span_of(pass.offset[1]);
  return (band_rows - 1) * pass.source_step[1] + span.high - span.low + 1;
}

// As many rows as half of the second-level cache holds with all their sources, at least one block.
void lay_rows(const Pass& pass, Blocking& blocking) {
  const auto slices = static_cast<int64_t>(pass.offset[0].size());
  const int64_t budget = caches().l2 / 2 / static_cast<int64_t>(sizeof(float));
  const int64_t most = ceil_div(pass.grid[1], blocking.block_rows) * blocking.block_rows;
  blocking.band_rows = blocking.block_rows;
  const auto floats = [&](int64_t rows) {
    return pass.sources * slices * packed_rows(pass, rows) * blocking.row_floats;
  };
  while (blocking.band_rows < most && floats(blocking.band_rows + blocking.block_rows) <= budget) {
    blocking.band_rows += blocking.block_rows;
  }
  const int64_t rows = packed_rows(pass, blocking.band_rows);
  blocking.needed_row.assign(static_cast<size_t>(rows), 0);
  blocking.row_base = span_of(pass.offset[1]).low;
  for (int64_t row = 0; row < blocking.band_rows; ++row) {
    for (const int64_t offset : pass.offset[1]) {
      blocking.needed_row[static_cast<size_t>(row * pass.source_step[1] + offset - blocking.row_base)] = 1;
    }
  }
  blocking.advance = blocking.band_rows * pass.source_step[1];
  blocking.row_capacity = rows;
  const int64_t bands = ceil_div(pass.grid[1], blocking.band_rows);
  const int64_t capacity = 4 * budget / std::max<int64_t>(1, pass.sources * slices * blocking.row_floats);
  const int64_t below = std::min({bands - 1, kBandsBelow, (capacity - rows) / blocking.advance});
  if (rows > blocking.advance) blocking.row_capacity += std::max<int64_t>(0, below) * blocking.advance;
  blocking.channel_floats = blocking.row_capacity * blocking.row_floats;
  require(blocking.channel_floats <= kMostBytes / 4 / std::max<int64_t>(1, pass.sources * slices),
          "the layer's rows are too long for the sparse kernels");
  blocking.packed_floats = pass.sources * slices * blocking.channel_floats;
}

// Tiles keep a block's sources in the first-level cache, at the price of loading and storing sums between them.
void choose_tiles(const Pass& pass, Blocking& blocking) {
  const auto slices = static_cast<int64_t>(pass.offset[0].size());
  const int64_t taps = static_cast<int64_t>(pass.offset[1].size() * pass.offset[2].size());
  const int64_t halo = blocking.columns == pass.grid[2] ? blocking.plane_width : blocking.columns + 2;
  const int64_t line = blocking.vectors * blocking.lanes * static_cast<int64_t>(sizeof(float));
  const int64_t footprint = slices * std::min(packed_rows(pass, blocking.block_rows) * halo *
                                                  static_cast<int64_t>(blocking.plane_base.size()),
                                              taps * blocking.columns * blocking.block_rows) * line;
  const int64_t budget = caches().l1 * 5 / 8;
  blocking.tile_channels = pass.sources;
  blocking.tiles = 1;
  if (footprint * pass.sources <= budget || footprint == 0) return;
  const int64_t fitting = std::max<int64_t>(1, budget / footprint);
  const int64_t tiles = ceil_div(pass.sources, fitting);
  const double per_row = static_cast<double>(pass.rows.entries.size()) /
                         static_cast<double>(std::max<int64_t>(1, pass.targets * pass.groups));
  const double saved = per_row * (kSecondLevelCost - 1);
  const double spent = static_cast<double>(tiles) * 2.0 * kSumsCost;
  if (saved <= spent) return;
  blocking.tile_channels = ceil_div(pass.sources, tiles);
  blocking.tiles = ceil_div(pass.sources, blocking.tile_channels);
}

void lay_entries(const Rows& rows, PassPlan& plan) {
  const Blocking& blocking = plan.blocking;
  const auto heights = static_cast<int64_t>(plan.pass.offset[1].size());
  const auto widths = static_cast<int64_t>(plan.pass.offset[2].size());
  const auto slices = static_cast<int64_t>(plan.pass.offset[0].size());
  const auto offset_of = [&](const Entry& entry) {
    const int64_t slice = entry.tap / (heights * widths);
    const int64_t height = entry.tap / widths % heights;
    const int64_t row = plan.pass.offset[1][static_cast<size_t>(height)] - blocking.row_base;
    const int64_t column = blocking.tap_column[static_cast<size_t>(entry.tap % widths)];
    const int64_t floats = (entry.source * slices + slice) * blocking.channel_floats + row * blocking.row_floats +
                           column * blocking.vectors * blocking.lanes;
    return static_cast<int32_t>(floats * static_cast<int64_t>(sizeof(float)));
  };
  plan.offset.reserve(rows.entries.size());
  plan.value.reserve(rows.entries.size());
  std::vector<int32_t> next(rows.start.begin(), rows.start.end() - 1);
  for (int64_t group = 0; group < plan.pass.groups; ++group) {
    for (int64_t tile = 0; tile < blocking.tiles; ++tile) {
      const int64_t end = (tile + 1) * blocking.tile_channels;
      for (int64_t row = group * plan.pass.targets; row < (group + 1) * plan.pass.targets; ++row) {
        plan.start.push_back(static_cast<int32_t>(plan.offset.size()));
        int32_t& k = next[static_cast<size_t>(row)];
        for (; k < rows.start[static_cast<size_t>(row) + 1] && rows.entries[static_cast<size_t>(k)].source < end; ++k) {
          plan.offset.push_back(offset_of(rows.entries[static_cast<size_t>(k)]));
          plan.value.push_back(rows.entries[static_cast<size_t>(k)].value);
        }
      }
    }
  }
  plan.start.push_back(static_cast<int32_t>(plan.offset.size()));
}

}  // namespace

PassPlan make_pass_plan(Pass pass, int64_t batch, int lanes, int most_vectors) {
  PassPlan plan;
  plan.pass = std::move(pass);
  plan.batch = batch;
  plan.blocking.lanes = lanes;
  flatten(most_vectors, plan);
  choose_block(plan.pass, std::max<int64_t>(1, plan.batch), most_vectors, plan.blocking);
  lay_columns(plan.pass, plan.blocking);
  lay_rows(plan.pass, plan.blocking);
  choose_tiles(plan.pass, plan.blocking);
  lay_entries(plan.pass.rows, plan);
  plan.pass.rows = Rows{};
  return plan;
}

ConvPlans::ConvPlans(const Pattern& of, const ConvShape& at)
    : shape(at),
      kernels(select_training_kernels()),
      pattern(of),
      forward(make_pass_plan(forward_pass(of, at), at.batch, kernels.lanes, kernels.multiply_vectors)),
      weight(make_pass_plan(forward_pass(of, at), at.batch, kernels.lanes, kernels.weight_vectors)) {}

const std::vector<PassPlan>& ConvPlans::input() const {
  std::call_once(made_, [this] {
    for (Pass& pass : gradient_passes(pattern, shape)) {
      input_.push_back(make_pass_plan(std::move(pass), shape.batch, kernels.lanes, kernels.multiply_vectors));
    }
  });
  return input_;
}

std::shared_ptr<const ConvPlans> make_plans(const Pattern& pattern, const ConvShape& shape) {
  validate(shape);
  pattern.require_fit(shape);
  return std::make_shared<const ConvPlans>(pattern, shape);
}

}  // namespace n2n::training
