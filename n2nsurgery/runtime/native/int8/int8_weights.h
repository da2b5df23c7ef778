// The weights of a layer that computes with integers: blocks of four neighbouring inputs, and what a sum becomes.
#pragma once

#include <cstdint>
#include <vector>

#include "../weights.h"

namespace n2n {

struct Int8Weights {
  struct Block {
    int32_t group;  // of four inputs
    int32_t tap;
    int8_t weight[4];
  };

  WeightShape shape;
  std::vector<int64_t> row;  // outputs + 1: where each output's blocks begin
  std::vector<Block> blocks;  // by group, then by tap within an output
  std::vector<int32_t> start;  // of each output's sum: its bias, less what the input's zero adds
};

// From levels, decoded with a scale of 1, and the biases in steps of the sum. `zero`: the input's level of 0.0.
//
// `pair_limit`: a block whose neighbouring weights of one sign add up to more is cut into two; 0: none is. Throws Error
// if a sum could leave 32 bits.
Int8Weights make_int8_weights(const SparseWeights& levels, const int32_t* bias, int32_t zero, int pair_limit);

}  // namespace n2n
