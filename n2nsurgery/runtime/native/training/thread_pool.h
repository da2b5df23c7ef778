// A pool of threads of our own: training calls it from torch's main thread while torch's threads rest.
#pragma once

#include <cstdint>
#include <functional>

namespace n2n::training {

constexpr int kMostThreads = 256;

// Calls body(i) for i in [0, count), on up to `threads` threads of which the caller is one. An exception of the body is
// rethrown here after all have stopped. One loop runs at a time; a second caller, or a call from inside a body, runs
// its loop alone. Works in a forked child.
void parallel(int threads, int64_t count, const std::function<void(int64_t)>& body);

}  // namespace n2n::training
