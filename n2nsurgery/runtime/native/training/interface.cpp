// The C interface of training. Every function returns null, or what was wrong; the text lives until the calling
// thread's next call. Pointers to activations are [channel][depth][height][width][batch].
#include <exception>
#include <string>

#include "../error.h"
#include "batch_norm.h"
#include "conv_passes.h"
#include "layout.h"
#include "pooling.h"
#include "thread_pool.h"

#define N2N_PUBLIC extern "C" __attribute__((visibility("default"), used))

namespace {

using n2n::training::ConvBackward;
using n2n::training::ConvForward;
using n2n::training::ConvShape;
using n2n::training::NormBackward;
using n2n::training::NormForward;
using n2n::training::NormShape;
using n2n::training::Pattern;
using n2n::training::PoolShape;
using n2n::training::Windows;

template <typename Body>
const char* guarded(const Body& body) {
  thread_local std::string message;
  try {
    body();
    return nullptr;
  } catch (const std::exception& error) {
    message = error.what();
  } catch (...) {
    message = "an unknown failure of the native library";
  }
  return message.c_str();
}

}  // namespace

N2N_PUBLIC const char* n2nsurgery_pattern_make(int64_t groups, int64_t inputs, int64_t outputs, int64_t taps,
                                               const int32_t* row, const int32_t* index, Pattern** pattern) {
  return guarded([&] { *pattern = new Pattern(groups, inputs, outputs, taps, row, index); });
}

N2N_PUBLIC void n2nsurgery_pattern_free(Pattern* pattern) { delete pattern; }

N2N_PUBLIC const char* n2nsurgery_conv_forward(const Pattern* pattern, const ConvShape* shape, const ConvForward* conv,
                                               int threads) {
  return guarded([&] { n2n::training::conv_forward(*pattern->plans(*shape), *conv, threads); });
}

N2N_PUBLIC const char* n2nsurgery_conv_backward(const Pattern* pattern, const ConvShape* shape,
                                                const ConvBackward* conv, int threads) {
  return guarded([&] { n2n::training::conv_backward(*pattern->plans(*shape), *conv, threads); });
}

N2N_PUBLIC const char* n2nsurgery_norm_forward(const NormShape* shape, const NormForward* norm, int threads) {
  return guarded([&] { n2n::training::norm_forward(*shape, *norm, threads); });
}

N2N_PUBLIC const char* n2nsurgery_norm_backward(const NormShape* shape, const NormBackward* norm, int threads) {
  return guarded([&] { n2n::training::norm_backward(*shape, *norm, threads); });
}

N2N_PUBLIC const char* n2nsurgery_max_pool(const PoolShape* shape, const float* x, float* y, uint8_t* taken,
                                           int threads) {
  return guarded([&] { n2n::training::max_pool(*shape, x, y, taken, threads); });
}

N2N_PUBLIC const char* n2nsurgery_max_pool_gradient(const PoolShape* shape, const float* dy, const uint8_t* taken,
                                                    float* dx, int threads) {
  return guarded([&] { n2n::training::max_pool_gradient(*shape, dy, taken, dx, threads); });
}

N2N_PUBLIC const char* n2nsurgery_average_pool(const PoolShape* shape, const Windows* windows, const float* x, float* y,
                                               int threads) {
  return guarded([&] { n2n::training::average_pool(*shape, *windows, x, y, threads); });
}

N2N_PUBLIC const char* n2nsurgery_average_pool_gradient(const PoolShape* shape, const Windows* windows, const float* dy,
                                                        float* dx, int threads) {
  return guarded([&] { n2n::training::average_pool_gradient(*shape, *windows, dy, dx, threads); });
}

N2N_PUBLIC const char* n2nsurgery_transpose(const float* source, float* target, int64_t rows, int64_t columns,
                                            int threads) {
  return guarded([&] { n2n::training::transpose(source, target, rows, columns, threads); });
}
