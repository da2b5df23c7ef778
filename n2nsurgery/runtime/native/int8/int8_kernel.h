// SparseQLinearConv and SparseQLinearGemm: one node of a model that computes with integers.
#pragma once

#include <optional>
#include <vector>

#include "../geometry.h"
#include "../ort_call.h"
#include "../plan_cache.h"
#include "../task_loop.h"
#include "int8_executor.h"
#include "int8_plan.h"
#include "int8_weights.h"

namespace n2n {

// What an op's name says about its inputs.
struct Int8Variant {
  bool gemm = false;
  bool add = false;   // a residual and two more pairs of scale and zero follow the others
  bool bits = false;  // the places are a bitmask

  size_t input_count() const { return add ? 14 : 9; }
};

// A scale, and the level of 0.0.
struct Levels {
  float scale = 1.0F;
  uint8_t zero = 0;
};

class Int8Kernel {
 public:
  // Throws Error if anything about the constant inputs or attributes is not as the op's schema says.
  Int8Kernel(const ort::KernelSetup& setup, const Int8Variant& variant);

  // Safe to call from several threads at once.
  void compute(const ort::Invocation& invocation);

 private:
  void compute_conv(const ort::Invocation& invocation, const ort::TensorView& x);
  void compute_rows(const ort::Invocation& invocation, const ort::TensorView& x);
  Int8Tensors tensors() const;

  Int8Variant variant_;
  std::optional<ConvAttributes> conv_;
  Int8Layouts packed_;  // of a convolution
  const Int8Kernels& kernels_;
  Levels input_, product_, residual_, sum_;
  Int8Weights weights_;
  std::vector<float> multiplier_;
  PlanCacheOf<Int8Plan> plans_;
  ThreadCount threads_;
};

}  // namespace n2n
