#include "shuffle.h"

#include <algorithm>

namespace n2n {
namespace {

// One row of results of neighbouring column phases.
void shuffle_row(const Shuffle& shape, const Kernels& kernels, const Axes& phase, InterleaveJob job, int64_t place,
                 int64_t count, float* y) {
  while (count > 0) {
    const int64_t column = place % shape.places[2];
    const int64_t row = place / shape.places[2] % shape.places[1] * shape.stride[1] + phase[1];
    const int64_t slice = place / (shape.places[2] * shape.places[1]) * shape.stride[0] + phase[0];
    const int64_t here = std::min(count, shape.places[2] - column);
    if (row < shape.output[1] && slice < shape.output[0]) {  // the last places may have no results of some phases
      const int64_t first = column * shape.stride[2];
      job.target = y + (slice * shape.output[1] + row) * shape.output[2] + first;
      job.room = std::min(here * shape.stride[2], shape.output[2] - first);
      kernels.interleave(job);
    }
    job.source += here;
    place += here;
    count -= here;
  }
}

}  // namespace

void shuffle(const Shuffle& shape, const Kernels& kernels, const Staged& staged, int64_t low, int64_t high, float* y) {
  InterleaveJob job{};
  job.source_stride = staged.channel_stride;
  job.phases = shape.stride[2];
  for (int64_t channel = low; channel < high; channel += shape.stride[2]) {
    const Axes phase{channel / (shape.stride[2] * shape.stride[1]) % shape.stride[0],
                     channel / shape.stride[2] % shape.stride[1], 0};
    float* target = y + channel / shape.phases() * shape.output_pixels();
    for (int64_t row = 0; row < staged.rows; ++row) {
      job.source = staged.results + channel * staged.channel_stride + row * staged.row_stride;
      shuffle_row(shape, kernels, phase, job, staged.first + row * staged.row_stride, staged.columns, target);
    }
  }
}

}  // namespace n2n
