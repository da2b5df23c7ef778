// What tasks of convolutions and of linear layers have in common: scratch memory, packed tiles, the windows of one tile.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "aligned_buffer.h"
#include "kernels.h"
#include "plan.h"

namespace n2n {

// The calling thread's memory.
struct Scratch {
  AlignedBuffer packed;   // the tile of a task that packs its own
  AlignedBuffer partial;  // sums between tiles
  AlignedBuffer staged;   // results before they are turned
  AlignedBuffer shared;   // see shared_input
};
Scratch& scratch();

// Makes the calling thread's scratch memory present, which tasks of this plan would do otherwise.
void prepare_scratch(const Plan& plan);

// Where the plan's pack tasks put the input of `patches` patches for its other tasks; null where every task packs its
// own. The memory is the calling thread's, and belongs to its last call.
float* shared_input(const Plan& plan, int64_t patches);

// A tile of a patch in the memory of shared_input.
float* shared_tile(const Plan& plan, float* shared, int64_t patch, int64_t tile);

// Writes the zeros that precede and follow a packed tile.
void clear_ends(const Plan& plan, float* packed);

// Scratch for the packed tiles of a task that packs its own.
float* packed_tile(const Plan& plan);

// Channels [first, last) of `image` into where they belong in a tile; `patch` is its slice, row and column.
void pack_patch(const Plan& plan, const Kernels& kernels, const Axes& patch, const float* image, float* tile,
                int64_t first, int64_t last);

inline int64_t packed_channels(const ConvProblem& problem) { return problem.group_inputs * problem.kernel[0]; }

// Calls body(tile, first, last) for the stretches of channels, counted through, that part `part` packs.
template <class Body>
void for_part(const Plan& plan, int64_t part, const Body& body) {
  const int64_t channels = packed_channels(plan.problem);
  const int64_t end = channels * (part + 1) / plan.pack_parts;
  for (int64_t first = channels * part / plan.pack_parts; first < end;) {
    const int64_t tile = first / plan.tiling.channels;
    const int64_t last = std::min(end, (tile + 1) * plan.tiling.channels);
    body(tile, first, last);
    first = last;
  }
}

// What of a job is the same for all windows of one tile.
ComputeJob tile_job(const Plan& plan, int64_t group, int64_t chunk, int64_t tile);

void compute_windows(const Plan& plan, const Kernels& kernels, const std::vector<Window>& windows, const float* tile,
                     float* partial, ComputeJob job);

}  // namespace n2n
