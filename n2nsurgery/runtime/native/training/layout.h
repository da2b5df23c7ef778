// Between [batch][places] (torch's own order) and [places][batch] (training's).
#pragma once

#include <cstdint>

namespace n2n::training {

// target[column][row] = source[row][column] for a dense source of these sizes.
void transpose(const float* source, float* target, int64_t rows, int64_t columns, int threads);

}  // namespace n2n::training
