// How long several threads take for a convolution's tasks: an estimate from the work of one thread.
#pragma once

#include <cstdint>

namespace n2n {

// Cycles are those of one image, of all its patches together.
struct Division {
  double computing = 0.0;
  double packing = 0.0;
  double handed_over = 0.0;  // reading a packed input that other cores wrote
  double per_chunk = 0.0;    // more for each chunk after the first: rows of weights sorted apart, input read again
  double largest = 1.0;      // the share of the work in one whole patch
  int64_t whole_patches = 1;  // of the largest size
  int64_t patches = 1;
};

// Cycles until the last thread is done, where the output channels are cut into that many chunks. Several chunks share
// one packed input, which all threads pack before.
double estimate_makespan(const Division& division, int64_t threads, int64_t chunks);

// The best number of chunks, of at least eight of `outputs` channels each.
int64_t choose_chunks(const Division& division, int64_t threads, int64_t outputs);

}  // namespace n2n
