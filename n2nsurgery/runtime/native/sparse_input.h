// Reads a node's constant inputs: the coded weights and the bias.
#pragma once

#include <cstdint>
#include <vector>

#include "activation.h"
#include "ort_call.h"
#include "weights.h"

namespace n2n {

// What an op's name says about its inputs and its result.
struct OpVariant {
  bool gemm = false;
  bool add = false;   // an input `residual` follows the others
  Curve curve = Curve::kNone;
  bool bits = false;  // the second input is a bitmask
  bool int8 = false;  // values are int8, and an input `scale` follows them
  bool transposed = false;
  size_t joined = 1;  // inputs that are read as one

  size_t bias_index() const { return int8 ? 4 : 3; }
  size_t residual_index() const { return bias_index() + 1; }
  size_t input_count() const { return bias_index() + (add ? 2 : 1); }
};

struct SparseInput {
  SparseWeights weights;
  std::vector<float> bias;
  Activation activation;
};

// An activation and its settings from the node's attributes.
Activation read_activation(const ort::KernelSetup& setup, Curve curve);

// Throws Error if anything about the inputs is not as the op's schema says; `outputs` is the bias' length.
SparseInput read_sparse_input(const ort::KernelSetup& setup, const OpVariant& variant, const WeightShape& shape,
                              int64_t outputs);
inline SparseInput read_sparse_input(const ort::KernelSetup& setup, const OpVariant& variant, const WeightShape& shape) {
  return read_sparse_input(setup, variant, shape, shape.outputs);
}

}  // namespace n2n
