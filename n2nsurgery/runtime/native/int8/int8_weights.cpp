#include "int8_weights.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <string>
#include <utility>

#include "../error.h"

namespace n2n {
namespace {

constexpr int64_t kMostLevel = 255;

bool beyond(const int8_t (&weight)[4], int limit) {
  for (const int first : {0, 2}) {
    const int a = weight[first];
    const int b = weight[first + 1];
    if (std::max(a, 0) + std::max(b, 0) > limit || std::min(a, 0) + std::min(b, 0) < -limit) return true;
  }
  return false;
}

// The block's halves, which add up to it.
std::pair<Int8Weights::Block, Int8Weights::Block> halves(const Int8Weights::Block& block) {
  Int8Weights::Block one = block;
  Int8Weights::Block other = block;
  for (int i = 0; i < 4; ++i) {
    one.weight[i] = static_cast<int8_t>(block.weight[i] / 2);
    other.weight[i] = static_cast<int8_t>(block.weight[i] - one.weight[i]);
  }
  return {one, other};
}

// The blocks of one output, each place once.
std::vector<Int8Weights::Block> blocks_of(const SparseWeights& levels, int64_t output) {
  const auto begin = static_cast<size_t>(levels.row[static_cast<size_t>(output)]);
  const auto end = static_cast<size_t>(levels.row[static_cast<size_t>(output) + 1]);
  std::vector<Int8Weights::Block> blocks;
  for (size_t k = begin; k < end; ++k) {
    Int8Weights::Block block{levels.channel[k] / 4, levels.tap[k], {}};
    block.weight[levels.channel[k] % 4] = static_cast<int8_t>(levels.value[k]);
    blocks.push_back(block);
  }
  const auto place = [](const Int8Weights::Block& b) { return std::make_pair(b.group, b.tap); };
  std::stable_sort(blocks.begin(), blocks.end(),
                   [&](const auto& a, const auto& b) { return place(a) < place(b); });
  size_t last = 0;
  for (size_t k = 1; k < blocks.size(); ++k) {
    if (place(blocks[k]) != place(blocks[last])) {
      blocks[++last] = blocks[k];
    } else {
      for (int i = 0; i < 4; ++i) blocks[last].weight[i] |= blocks[k].weight[i];  // one of the two is 0
    }
  }
  if (!blocks.empty()) blocks.resize(last + 1);
  return blocks;
}

}  // namespace

Int8Weights make_int8_weights(const SparseWeights& levels, const int32_t* bias, int32_t zero, int pair_limit) {
  Int8Weights weights;
  weights.shape = levels.shape;
  weights.row.push_back(0);
  for (int64_t output = 0; output < levels.shape.outputs; ++output) {
    int64_t sum = 0;
    int64_t magnitude = 0;
    for (const Int8Weights::Block& block : blocks_of(levels, output)) {
      for (const int8_t weight : block.weight) {
        sum += weight;
        magnitude += std::abs(weight);
      }
      if (pair_limit != 0 && beyond(block.weight, pair_limit)) {
        const auto [one, other] = halves(block);
        weights.blocks.insert(weights.blocks.end(), {one, other});
      } else {
        weights.blocks.push_back(block);
      }
    }
    const int64_t start = bias[output] - zero * sum;
    require(std::abs(start) + kMostLevel * magnitude <= std::numeric_limits<int32_t>::max(),
            "the sums of output " + std::to_string(output) + " could leave 32 bits");
    weights.start.push_back(static_cast<int32_t>(start));
    weights.row.push_back(static_cast<int64_t>(weights.blocks.size()));
  }
  return weights;
}

}  // namespace n2n
