// What a model says of a node's input before there is one, so that plans are made while it loads and not when it runs.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "geometry.h"
#include "transposed.h"

namespace n2n {

// The convolution of one image of the claimed shape (-1: not known). Nothing where the claim leaves a spatial extent
// open, does not fit the attributes, or would make a plan larger than a plausible model needs: claims cost a file
// nothing, inputs cost their sender memory.
std::optional<ConvProblem> expected_problem(const ConvAttributes& attributes, std::vector<int64_t> claimed);
std::optional<ConvProblem> expected_problem(const TransposedAttributes& attributes, std::vector<int64_t> claimed);

// The rows of a claimed shape (..., inputs) with a batch of one; nothing as above.
std::optional<int64_t> expected_rows(const WeightShape& weight, const std::vector<int64_t>& claimed);

}  // namespace n2n
