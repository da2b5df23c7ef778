#include "patch_shape.h"

#include "rounding.h"

namespace n2n {
namespace {

// The share of vector loads that straddle cache lines.
double split_share(const ConvProblem& problem, const Tiling& tiling, const Layout& layout, int lanes) {
  const double misaligned_split = lanes * 4 >= 64 ? 1.0 : lanes * 4 / 64.0;
  if (layout.scaled) return 0.0;
  if (!tiling.aligned && layout.pitch % lanes != 0) return misaligned_split * (1.0 - 1.0 / lanes);
  int64_t moved = 0;
  for (const int64_t offset : layout.tap_offset) moved += offset % lanes != 0 ? 1 : 0;
  const auto taps = static_cast<double>(problem.kernel[1] * problem.kernel[2]);
  return misaligned_split * static_cast<double>(moved) / taps;
}

PatchGroup make_group(const Tiling& tiling, const Layout& layout, int lanes, int64_t rows, int64_t columns) {
  PatchGroup group;
  const int64_t pitch = tiling.direct ? tiling.columns : layout.pitch;
  const int64_t used = ceil_div(columns, lanes);
  if (pitch % lanes == 0 && used < pitch / lanes) {
    group.segments = rows;
    group.vectors = used;
  } else {
    group.vectors = ceil_div((rows - 1) * pitch + columns, lanes);
  }
  return group;
}

}  // namespace

PatchShape make_shape(const ConvProblem& problem, const Tiling& tiling, int lanes) {
  PatchShape shape;
  shape.layout = make_layout(problem, tiling, lanes);
  shape.split = split_share(problem, tiling, shape.layout, lanes);
  double patches = 0.0;
  const int64_t height = problem.output[1];
  const int64_t width = problem.output[2];
  for (const bool last_row : {false, true}) {
    for (const bool last_column : {false, true}) {
      const int64_t rows = last_row ? height % tiling.rows : tiling.rows;
      const int64_t columns = last_column ? width % tiling.columns : tiling.columns;
      if (rows == 0 || columns == 0) continue;
      PatchGroup group = make_group(tiling, shape.layout, lanes, rows, columns);
      const int64_t down = last_row ? 1 : height / tiling.rows;
      const int64_t across = last_column ? 1 : width / tiling.columns;
      group.patches = static_cast<double>(problem.output[0] * down * across);
      patches += group.patches;
      shape.vectors += group.patches * static_cast<double>(group.segments * group.vectors);
      shape.groups.push_back(group);
    }
  }
  const int64_t pitch = tiling.direct ? tiling.columns : shape.layout.pitch;
  shape.contiguous = tiling.columns % lanes == 0 && (pitch == tiling.columns || shape.groups[0].segments == tiling.rows);
  if (!tiling.direct) {
    const auto rows = static_cast<double>(shape.layout.row.size() * shape.layout.plane_phase.size());
    shape.packed_rows = static_cast<double>(problem.group_inputs * problem.kernel[0]) * rows * patches;
    shape.packed_vectors = shape.packed_rows * static_cast<double>(ceil_div(shape.layout.pitch, lanes));
  }
  return shape;
}

}  // namespace n2n
