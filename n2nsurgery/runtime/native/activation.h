// What follows a sum of products and its residual: a function of each value alone. Plain data, see kernels.h.
#pragma once

#include <cstdint>

namespace n2n {

enum class Curve : int32_t { kNone, kRelu, kClip, kLeakyRelu, kHardSwish, kSilu, kGelu, kTanhGelu };
constexpr int kCurves = 8;

struct Activation {
  Curve curve = Curve::kNone;
  float low = 0.0F;   // of kClip
  float high = 0.0F;  // of kClip; where it is below `low`, it is the result
  float slope = 0.0F;  // of kLeakyRelu, for values below zero
};

}  // namespace n2n
