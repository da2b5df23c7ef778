// Division of integers that rounds up or down, for positive divisors.
#pragma once

#include <cstddef>
#include <cstdint>

namespace n2n {

// Of a >= 0.
inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

inline int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -ceil_div(-a, b); }

// Of a value >= 0.
inline int64_t round_up(int64_t value, int64_t multiple) { return ceil_div(value, multiple) * multiple; }

inline size_t round_up_bytes(size_t bytes, size_t multiple) { return (bytes + multiple - 1) / multiple * multiple; }

}  // namespace n2n
