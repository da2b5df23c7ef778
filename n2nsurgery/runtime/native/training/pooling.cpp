#include "pooling.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "../error.h"
#include "thread_pool.h"
#include "training_kernels.h"

namespace n2n::training {
namespace {

constexpr uint8_t kNone = 255;

void validate_sizes(const PoolShape& shape) {
  ConvShape like{};
  like.batch = shape.batch;
  like.groups = 1;
  like.inputs = like.outputs = shape.channels;
  like.input = shape.input;
  like.output = shape.output;
  like.kernel = shape.kernel;
  like.stride = shape.stride;
  like.pad = shape.pad;
  like.dilation = shape.dilation;
  validate(like);
}

// Calls visit(output place, input place, tap) for every tap of every window that lies inside, window by window.
template <typename Visit>
void each_tap(const PoolShape& shape, const Visit& visit) {
  const Axes& out = shape.output;
  const Axes& kernel = shape.kernel;
  for (int64_t place = 0; place < volume(out); ++place) {
    const Axes at{place / (out[1] * out[2]), place / out[2] % out[1], place % out[2]};
    for (int64_t tap = 0; tap < volume(kernel); ++tap) {
      const Axes k{tap / (kernel[1] * kernel[2]), tap / kernel[2] % kernel[1], tap % kernel[2]};
      int64_t from = 0;
      bool inside = true;
      for (size_t axis = 0; axis < 3; ++axis) {
        const int64_t i = at[axis] * shape.stride[axis] - shape.pad[axis] + k[axis] * shape.dilation[axis];
        inside = inside && i >= 0 && i < shape.input[axis];
        from = from * shape.input[axis] + i;
      }
      if (inside) visit(place, from, static_cast<int32_t>(tap));
    }
  }
}

template <typename Visit>
void each_window(const PoolShape& shape, const Windows& windows, const Visit& visit) {
  for (int64_t d = 0, place = 0; d < shape.output[0]; ++d) {
    for (int64_t h = 0; h < shape.output[1]; ++h) {
      for (int64_t w = 0; w < shape.output[2]; ++w, ++place) {
        const float share = windows.share[0][d] * windows.share[1][h] * windows.share[2][w];
        for (int64_t z = windows.begin[0][d]; z < windows.end[0][d]; ++z) {
          for (int64_t y = windows.begin[1][h]; y < windows.end[1][h]; ++y) {
            for (int64_t x = windows.begin[2][w]; x < windows.end[2][w]; ++x) {
              visit(place, (z * shape.input[1] + y) * shape.input[2] + x, share);
            }
          }
        }
      }
    }
  }
}

void validate_windows(const PoolShape& shape, const Windows& windows) {
  for (size_t axis = 0; axis < 3; ++axis) {
    for (int64_t i = 0; i < shape.output[axis]; ++i) {
      require(windows.begin[axis][i] >= 0 && windows.end[axis][i] <= shape.input[axis],
              "a pooling window lies outside of the input");
    }
  }
}

void zero(float* values, int64_t count) { std::memset(values, 0, static_cast<size_t>(count) * sizeof(float)); }

}  // namespace

void max_pool(const PoolShape& shape, const float* x, float* y, uint8_t* taken, int threads) {
  validate_sizes(shape);
  require(volume(shape.kernel) <= kMostTaps, "the pooling window has more than 254 taps");
  const TrainingKernels& kernels = select_training_kernels();
  const int64_t batch = shape.batch;
  const int64_t outputs = volume(shape.output) * batch;
  parallel(threads, batch == 0 ? 0 : shape.channels, [&](int64_t c) {
    const float* from = x + c * volume(shape.input) * batch;
    std::vector<int32_t> tap_of(static_cast<size_t>(batch));
    int64_t open = -1;
    const auto close = [&] {
      if (open < 0) return;
      uint8_t* target = taken + c * outputs + open * batch;
      for (int64_t i = 0; i < batch; ++i) target[i] = static_cast<uint8_t>(tap_of[static_cast<size_t>(i)]);
    };
    std::fill_n(y + c * outputs, outputs, -std::numeric_limits<float>::infinity());
    std::memset(taken + c * outputs, kNone, static_cast<size_t>(outputs));
    each_tap(shape, [&](int64_t place, int64_t input, int32_t tap) {
      if (place != open) {
        close();
        open = place;
        std::fill(tap_of.begin(), tap_of.end(), tap);
      }
      kernels.take_larger(from + input * batch, tap, y + c * outputs + place * batch, tap_of.data(), batch);
    });
    close();
  });
}

void max_pool_gradient(const PoolShape& shape, const float* dy, const uint8_t* taken, float* dx, int threads) {
  validate_sizes(shape);
  const TrainingKernels& kernels = select_training_kernels();
  const int64_t batch = shape.batch;
  const int64_t inputs = volume(shape.input) * batch;
  const int64_t outputs = volume(shape.output) * batch;
  parallel(threads, batch == 0 ? 0 : shape.channels, [&](int64_t c) {
    zero(dx + c * inputs, inputs);
    each_tap(shape, [&](int64_t place, int64_t input, int32_t tap) {
      const int64_t at = c * outputs + place * batch;
      kernels.add_where(dy + at, taken + at, static_cast<uint8_t>(tap), dx + c * inputs + input * batch, batch);
    });
  });
}

void average_pool(const PoolShape& shape, const Windows& windows, const float* x, float* y, int threads) {
  validate_windows(shape, windows);
  const TrainingKernels& kernels = select_training_kernels();
  const int64_t batch = shape.batch;
  const int64_t outputs = volume(shape.output) * batch;
  parallel(threads, batch == 0 ? 0 : shape.channels, [&](int64_t c) {
    const float* from = x + c * volume(shape.input) * batch;
    float* to = y + c * outputs;
    zero(to, outputs);
    each_window(shape, windows, [&](int64_t place, int64_t input, float share) {
      kernels.add_scaled(from + input * batch, share, to + place * batch, batch);
    });
  });
}

void average_pool_gradient(const PoolShape& shape, const Windows& windows, const float* dy, float* dx, int threads) {
  validate_windows(shape, windows);
  const TrainingKernels& kernels = select_training_kernels();
  const int64_t batch = shape.batch;
  const int64_t inputs = volume(shape.input) * batch;
  parallel(threads, batch == 0 ? 0 : shape.channels, [&](int64_t c) {
    const float* from = dy + c * volume(shape.output) * batch;
    zero(dx + c * inputs, inputs);
    each_window(shape, windows, [&](int64_t place, int64_t input, float share) {
      kernels.add_scaled(from + place * batch, share, dx + c * inputs + input * batch, batch);
    });
  });
}

}  // namespace n2n::training
