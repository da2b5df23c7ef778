// Throws random shapes, patterns and garbage at training's C interface. Built with sanitizers. A refusal is fine;
// whatever is accepted must stay inside its buffers and agree with plain loops.
//
//   training_fuzz_driver [CASES] [SEED]
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <vector>

#include "fuzz/draws.h"
#include "fuzz/training_checks.h"
#include "training/batch_norm.h"
#include "training/conv_passes.h"
#include "training/pattern.h"
#include "training/pooling.h"

using n2n::training::Axes;
using n2n::training::ConvBackward;
using n2n::training::ConvForward;
using n2n::training::ConvShape;
using n2n::training::Floats;
using n2n::training::Pattern;
using n2n::training::kMostFloats;
using n2n::training::require_relu;
using n2n::training::require_sums;
using n2n::training::small;
using n2n::training::volume;

extern "C" {
const char* n2nsurgery_pattern_make(int64_t, int64_t, int64_t, int64_t, const int32_t*, const int32_t*, Pattern**);
void n2nsurgery_pattern_free(Pattern*);
const char* n2nsurgery_conv_forward(const Pattern*, const ConvShape*, const ConvForward*, int);
const char* n2nsurgery_conv_backward(const Pattern*, const ConvShape*, const ConvBackward*, int);
const char* n2nsurgery_norm_forward(const n2n::training::NormShape*, const n2n::training::NormForward*, int);
const char* n2nsurgery_norm_backward(const n2n::training::NormShape*, const n2n::training::NormBackward*, int);
const char* n2nsurgery_max_pool(const n2n::training::PoolShape*, const float*, float*, uint8_t*, int);
const char* n2nsurgery_max_pool_gradient(const n2n::training::PoolShape*, const float*, const uint8_t*, float*, int);
const char* n2nsurgery_transpose(const float*, float*, int64_t, int64_t, int);
}

namespace {

class Fuzzer {
 public:
  explicit Fuzzer(n2n::Draws& draws) : draws_(draws) {}

  bool once() {
    const int64_t which = draws_.between(0, 9);
    return which < 6 ? run_conv() : which < 7 ? run_norm() : which < 9 ? run_pool() : run_transpose();
  }

 private:
  int threads() { return static_cast<int>(draws_.between(1, 4)); }

  // As often on a cache line, as torch's memory is, as not.
  int64_t shift() { return draws_.between(0, 1); }

  Floats numbers(int64_t count) {
    Floats values(count, shift());
    for (int64_t i = 0; i < count; ++i) values.get()[i] = draws_.number();
    return values;
  }

  Floats unset(int64_t count) {
    Floats values(count, shift());
    for (int64_t i = 0; i < count; ++i) values.get()[i] = std::numeric_limits<float>::quiet_NaN();
    return values;
  }

  ConvShape random_shape() {
    ConvShape shape;
    shape.batch = draws_.extent(0, draws_.chance(0.3) ? 70 : 20);
    shape.groups = draws_.chance(0.3) ? draws_.extent(1, 3) : 1;
    const int64_t factor = shape.groups >= 1 && shape.groups <= 3 ? shape.groups : 1;
    shape.inputs = draws_.extent(1, draws_.chance(0.2) ? 200 : 12);
    shape.outputs = draws_.extent(1, 12);
    if (shape.inputs <= 200 && shape.inputs >= -200) shape.inputs *= factor;
    if (shape.outputs <= 200 && shape.outputs >= -200) shape.outputs *= factor;
    const int64_t rank = draws_.between(1, 3);
    for (size_t axis = 0; axis < 3; ++axis) {
      const bool there = static_cast<int64_t>(axis) >= 3 - rank;
      shape.kernel[axis] = there ? draws_.extent(1, 4) : 1;
      shape.stride[axis] = there ? draws_.extent(1, 3) : 1;
      shape.dilation[axis] = there ? draws_.extent(1, 3) : 1;
      shape.pad[axis] = there ? draws_.extent(0, 4) : 0;
      shape.input[axis] = there ? draws_.extent(1, rank == 1 ? 90 : rank == 2 ? 20 : 7) : 1;
      shape.output[axis] = there ? draws_.extent(1, rank == 1 ? 90 : rank == 2 ? 20 : 7) : 1;
    }
    return shape;
  }

  bool run_conv() {
    const ConvShape shape = random_shape();
    const bool fits = small(shape);
    const int64_t width = fits && shape.inputs % shape.groups == 0 ? shape.group_inputs() * shape.taps() : 5;
    const int64_t rows = fits ? shape.outputs : 3;
    std::vector<int32_t> row{0};
    std::vector<int32_t> index;
    const double density = draws_.chance(0.1) ? 0.0 : draws_.real(0.0, 0.6);
    for (int64_t o = 0; o < rows; ++o) {
      for (int64_t i = 0; i < width; ++i) {
        if (!draws_.chance(density)) continue;
        index.push_back(static_cast<int32_t>(draws_.chance(0.0005) ? draws_.between(-9, width + 9) : i));
      }
      row.push_back(static_cast<int32_t>(index.size()));
    }
    if (draws_.chance(0.02)) {
      row[static_cast<size_t>(draws_.between(0, rows))] = static_cast<int32_t>(draws_.between(-2, index.size()));
    }
    if (row.back() > static_cast<int32_t>(index.size())) row.back() = static_cast<int32_t>(index.size());
    if (row.back() >= 0) index.resize(static_cast<size_t>(row.back()));
    for (const int32_t start : row) {
      if (start > static_cast<int32_t>(index.size())) return false;  // the library cannot know how long `index` is
    }
    Pattern* made = nullptr;
    const int64_t other = draws_.chance(0.02) ? 1 : 0;  // taps that do not fit the layer
    if (n2nsurgery_pattern_make(shape.groups, shape.inputs, rows, fits ? shape.taps() + other : 1, row.data(),
                                index.data(), &made) != nullptr) {
      return false;
    }
    const std::unique_ptr<Pattern, void (*)(Pattern*)> pattern(made, n2nsurgery_pattern_free);
    if (!fits && shape.outputs == rows) return false;  // perhaps only larger than what is computed here
    if (!fits) {  // must be refused before a pointer is read
      const ConvForward nothing{};
      if (n2nsurgery_conv_forward(made, &shape, &nothing, 1) == nullptr) std::abort();
      return false;
    }
    return run_passes(made, shape, row, index);
  }

  bool run_passes(const Pattern* pattern, const ConvShape& shape, const std::vector<int32_t>& row,
                  const std::vector<int32_t>& index) {
    const int64_t inputs = volume(shape.input) * shape.inputs * shape.batch;
    const int64_t outputs = volume(shape.output) * shape.outputs * shape.batch;
    const Floats x = numbers(inputs);
    const Floats dy = numbers(outputs);
    const Floats values = numbers(static_cast<int64_t>(index.size()));
    const Floats bias = numbers(shape.outputs);
    const Floats y = unset(outputs);
    const Floats dx = unset(inputs);
    const Floats dw = unset(values.size);
    const Floats passed = unset(outputs);
    const Floats db = unset(shape.outputs);
    ConvForward forward{values.get(), bias.get(), x.get(), y.get(), 0};
    if (n2nsurgery_conv_forward(pattern, &shape, &forward, threads()) != nullptr) return false;
    ConvBackward backward{values.get(), x.get(), nullptr, dy.get(), nullptr, dx.get(), dw.get(), db.get()};
    n2nsurgery_conv_backward(pattern, &shape, &backward, threads());
    compare(shape, row, index, x, values, bias, y, dy, dx, dw);
    require_sums(dy, db);
    const Floats plain = unset(outputs);
    std::copy_n(y.get(), outputs, plain.get());
    forward.relu = 1;
    n2nsurgery_conv_forward(pattern, &shape, &forward, threads());
    backward.y = y.get();
    backward.passed = passed.get();
    n2nsurgery_conv_backward(pattern, &shape, &backward, threads());
    require_relu(plain, y, dy, passed);
    require_sums(passed, db);
    return true;
  }

  void compare(const ConvShape& shape, const std::vector<int32_t>& row, const std::vector<int32_t>& index,
               const Floats& x, const Floats& values, const Floats& bias, const Floats& y, const Floats& dy,
               const Floats& dx, const Floats& dw) {
    std::vector<double> exact_y(static_cast<size_t>(y.size));
    std::vector<double> exact_dx(static_cast<size_t>(dx.size), 0.0);
    std::vector<double> exact_dw(static_cast<size_t>(dw.size), 0.0);
    const int64_t in = volume(shape.input) * shape.batch;
    const int64_t out = volume(shape.output) * shape.batch;
    for (int64_t o = 0; o < shape.outputs; ++o) {
      for (int64_t i = 0; i < out; ++i) exact_y[static_cast<size_t>(o * out + i)] = bias.get()[o];
      for (int32_t k = row[static_cast<size_t>(o)]; k < row[static_cast<size_t>(o) + 1]; ++k) {
        const int64_t tap = index[static_cast<size_t>(k)] % shape.taps();
        const int64_t channel = o / shape.group_outputs() * shape.group_inputs() +
                                index[static_cast<size_t>(k)] / shape.taps();
        const Axes t{tap / (shape.kernel[1] * shape.kernel[2]), tap / shape.kernel[2] % shape.kernel[1],
                     tap % shape.kernel[2]};
        for (int64_t place = 0; place < volume(shape.output); ++place) {
          const Axes at{place / (shape.output[1] * shape.output[2]), place / shape.output[2] % shape.output[1],
                        place % shape.output[2]};
          int64_t from = 0;
          bool inside = true;
          for (size_t axis = 0; axis < 3; ++axis) {
            const int64_t s = at[axis] * shape.stride[axis] - shape.pad[axis] + t[axis] * shape.dilation[axis];
            inside = inside && s >= 0 && s < shape.input[axis];
            from = from * shape.input[axis] + s;
          }
          for (int64_t n = 0; inside && n < shape.batch; ++n) {
            const auto source = static_cast<size_t>(channel * in + from * shape.batch + n);
            const auto target = static_cast<size_t>(o * out + place * shape.batch + n);
            const double value = values.get()[k];
            exact_y[target] += value * x.get()[source];
            exact_dx[source] += value * dy.get()[target];
            exact_dw[static_cast<size_t>(k)] += static_cast<double>(x.get()[source]) * dy.get()[target];
          }
        }
      }
    }
    agree(y, exact_y, "y");
    agree(dx, exact_dx, "dx");
    agree(dw, exact_dw, "dw");
  }

  static void agree(const Floats& found, const std::vector<double>& exact, const char* name) {
    double scale = 1.0;
    for (const double value : exact) scale = std::max(scale, std::abs(value));
    for (size_t i = 0; i < exact.size(); ++i) {
      if (std::abs(found.get()[i] - exact[i]) <= 1e-3 * scale) continue;  // NaN where nothing was written fails, too
      std::fprintf(stderr, "%s[%zu] is %g, not %g\n", name, i, static_cast<double>(found.get()[i]), exact[i]);
      std::abort();
    }
  }

  bool run_norm() {
    const n2n::training::NormShape shape{draws_.between(1, 5), draws_.between(1, 200), draws_.between(0, 1)};
    const int64_t count = shape.channels * shape.count;
    const Floats x = numbers(count);
    const Floats dy = numbers(count);
    const Floats residual = numbers(count);
    const Floats y = unset(count);
    const Floats passed = unset(count);
    const Floats dx = unset(count);
    const Floats weight = numbers(shape.channels);
    const Floats bias = numbers(shape.channels);
    const Floats mean = numbers(shape.channels);
    const Floats variance = numbers(shape.channels);
    const Floats inverse = unset(shape.channels);
    const Floats scale = unset(shape.channels);
    const Floats shift = unset(shape.channels);
    const Floats dweight = unset(shape.channels);
    for (int64_t c = 0; c < shape.channels; ++c) variance.get()[c] = std::abs(variance.get()[c]);
    const bool affine = draws_.chance(0.5);
    const bool sum = draws_.chance(0.5);
    const bool kept = sum && shape.relu != 0;
    const int64_t training = draws_.between(0, 1);
    const float* scales = affine ? weight.get() : nullptr;
    const float* shifts = affine ? bias.get() : nullptr;
    const n2n::training::NormForward forward{x.get(), sum ? residual.get() : nullptr, y.get(), scales, shifts,
                                             mean.get(), variance.get(), inverse.get(), scale.get(), shift.get(),
                                             1e-5, training};
    const n2n::training::NormBackward backward{x.get(), kept ? y.get() : nullptr, dy.get(),
                                               kept ? passed.get() : nullptr, dx.get(), scales, mean.get(),
                                               inverse.get(), scale.get(), shift.get(), dweight.get(), nullptr,
                                               training};
    if (n2nsurgery_norm_forward(&shape, &forward, threads()) != nullptr) std::abort();
    if (n2nsurgery_norm_backward(&shape, &backward, threads()) != nullptr) std::abort();
    for (int64_t i = 0; i < count; ++i) {
      if (std::isnan(y.get()[i]) || std::isnan(dx.get()[i]) || (kept && std::isnan(passed.get()[i]))) std::abort();
    }
    return true;
  }

  bool run_pool() {
    const ConvShape like = random_shape();
    if (!small(like)) return false;
    const n2n::training::PoolShape shape{like.inputs, like.batch, like.input,    like.output,
                                         like.kernel, like.stride, like.pad, like.dilation};
    const int64_t inputs = volume(shape.input) * shape.channels * shape.batch;
    const int64_t outputs = volume(shape.output) * shape.channels * shape.batch;
    if (outputs > kMostFloats) return false;
    const Floats x = numbers(inputs);
    const Floats y = unset(outputs);
    const Floats dy = numbers(outputs);
    const Floats dx = unset(inputs);
    const std::unique_ptr<uint8_t[]> taken(new uint8_t[static_cast<size_t>(outputs)]);
    if (n2nsurgery_max_pool(&shape, x.get(), y.get(), taken.get(), threads()) != nullptr) return false;
    if (n2nsurgery_max_pool_gradient(&shape, dy.get(), taken.get(), dx.get(), threads()) != nullptr) std::abort();
    for (int64_t i = 0; i < outputs; ++i) {
      if (std::isnan(y.get()[i])) std::abort();
    }
    for (int64_t i = 0; i < inputs; ++i) {
      if (std::isnan(dx.get()[i])) std::abort();
    }
    return true;
  }

  bool run_transpose() {
    const int64_t rows = draws_.between(0, 90);
    const int64_t columns = draws_.between(0, 3000);
    const Floats x = numbers(rows * columns);
    const Floats y = unset(rows * columns);
    if (n2nsurgery_transpose(x.get(), y.get(), rows, columns, threads()) != nullptr) std::abort();
    for (int64_t i = 0; i < x.size; ++i) {
      if (y.get()[i % columns * rows + i / columns] != x.get()[i]) std::abort();
    }
    return true;
  }

  n2n::Draws& draws_;
};

}  // namespace

int main(int argc, char** argv) {
  return n2n::run_cases(argc, argv, 0.004, [](n2n::Draws& draws) { return Fuzzer(draws).once(); });
}
