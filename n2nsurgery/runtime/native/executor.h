// Runs a convolution's plan: tasks that pack input for others, and tasks that compute a chunk of output channels of one
// patch of one image and group.
#pragma once

#include <cstdint>

#include "kernels.h"
#include "plan.h"
#include "shuffle.h"
#include "tiles.h"

namespace n2n {

struct ConvTensors {
  const float* x = nullptr;
  const float* bias = nullptr;
  const float* residual = nullptr;  // or null
  float* y = nullptr;
  float* packed = nullptr;  // shared_input(plan, patches)
  int64_t batch = 1;
  Activation activation;
  const Shuffle* shuffle = nullptr;  // of a transposed convolution, which has no residual
};

// Task `number` of plan.tasks(batch), of which the first plan.pack_tasks(batch) must be finished before the others
// begin. Thread-safe: other scratch memory belongs to the calling thread.
void run_conv_task(const Plan& plan, const Kernels& kernels, const ConvTensors& tensors, int64_t number);

}  // namespace n2n
