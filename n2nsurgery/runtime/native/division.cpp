#include "division.h"

#include <algorithm>
#include <cmath>

namespace n2n {
namespace {

constexpr double kTaskCycles = 600.0;      // of beginning a task
constexpr double kHandOverCycles = 3000.0;  // from packing to computing
constexpr int64_t kLeastOutputs = 8;       // of a chunk
constexpr int64_t kMostTasks = 8;          // for each thread

}  // namespace

double estimate_makespan(const Division& division, int64_t threads, int64_t chunks) {
  if (threads == 1) return division.computing + division.packing;
  const auto workers = static_cast<double>(threads);
  const bool shared = chunks > 1 && division.packing > 0.0;
  const auto tasks = static_cast<double>(division.patches * chunks);
  const double work = division.computing + static_cast<double>(chunks - 1) * division.per_chunk + tasks * kTaskCycles +
                      (shared ? 0.0 : division.packing);
  const double rounds = std::ceil(static_cast<double>(division.whole_patches * chunks) / workers);
  const double computing = std::max(work / workers, rounds * work * division.largest / static_cast<double>(chunks));
  if (!shared) return computing;
  const double others = (workers - 1.0) / workers;
  return computing + division.packing / workers + division.handed_over * others + kHandOverCycles;
}

int64_t choose_chunks(const Division& division, int64_t threads, int64_t outputs) {
  int64_t best = 1;
  const int64_t most = std::max<int64_t>(1, std::min(outputs / kLeastOutputs, kMostTasks * threads / division.patches));
  for (int64_t chunks = 2; threads > 1 && chunks <= most; ++chunks) {
    if (estimate_makespan(division, threads, chunks) < estimate_makespan(division, threads, best)) best = chunks;
  }
  return best;
}

}  // namespace n2n
