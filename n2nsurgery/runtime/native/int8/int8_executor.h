// Runs one task of a layer with integers: one patch, or one piece of rows, and a chunk of its outputs.
#pragma once

#include <cstdint>

#include "int8_plan.h"

namespace n2n {

// What is the same for all tasks of a run.
struct Int8Tensors {
  const uint8_t* x = nullptr;
  const uint8_t* residual = nullptr;  // or null
  uint8_t* y = nullptr;
  int64_t batch = 1;                  // images, or rows of a linear layer
  uint8_t input_zero = 0;
  int32_t zero = 0;                   // of the result, or of the product before a residual is added
  const float* multiplier = nullptr;  // for each output
  Int8Sum sum;
};

void run_int8_conv_task(const Int8Plan& plan, const Int8Weights& weights, const Int8Kernels& kernels,
                        const Int8Tensors& tensors, int64_t task);

// Of a linear layer, whose plan is for the rows of one piece.
void run_int8_rows_task(const Int8Plan& plan, const Int8Weights& weights, const Int8Kernels& kernels,
                        const Int8Tensors& tensors, int64_t task);

}  // namespace n2n
