// Throws random layers, shapes and thread counts at the integer kernels. Built with sanitizers. A refusal (Error) is
// fine; whatever is accepted must stay inside its buffers and give the levels of plain loops, to the bit.
//
//   int8_fuzz_driver [CASES] [SEED]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <vector>

#include "error.h"
#include "fuzz/draws.h"
#include "int8/int8_executor.h"

namespace n2n {
namespace {

// Exactly as long as asked for, so that the sanitizer sees the first byte beyond.
struct Bytes {
  explicit Bytes(int64_t count) : size(count), data(new uint8_t[static_cast<size_t>(count)]) {}
  int64_t size;
  std::unique_ptr<uint8_t[]> data;
};

// A tensor's levels in the packed order, or from it, exactly as long.
Bytes reordered(const Bytes& levels, int64_t pixels, bool to_packed) {
  Bytes made(levels.size);
  for (int64_t plain = 0; plain < levels.size; ++plain) {
    const int64_t channel = plain / pixels;
    const int64_t packed = (channel / 4 * pixels + plain % pixels) * 4 + channel % 4;
    to_packed ? made.data[packed] = levels.data[plain] : made.data[plain] = levels.data[packed];
  }
  return made;
}

class Fuzzer {
 public:
  explicit Fuzzer(Draws& draws) : draws_(draws) {}

  void once() { draws_.chance(0.2) ? run_rows() : run_conv(); }

 private:
  Bytes bytes(int64_t count) {
    Bytes made(count);
    for (int64_t i = 0; i < count; ++i) {
      made.data[i] = static_cast<uint8_t>(draws_.chance(0.3) ? 255 : draws_.between(0, 255));
    }
    return made;
  }

  SparseWeights random_levels(const WeightShape& shape) {
    validate(shape);
    require(shape.outputs * shape.inputs * shape.taps <= 1 << 13, "too large for a fuzz case");
    SparseWeights levels;
    levels.shape = shape;
    levels.row.push_back(0);
    const double density = draws_.real(0.0, draws_.chance(0.1) ? 1.0 : 0.3);
    for (int64_t output = 0; output < shape.outputs; ++output) {
      for (int64_t place = 0; place < shape.inputs * shape.taps; ++place) {
        if (!draws_.chance(density)) continue;
        levels.channel.push_back(static_cast<int32_t>(place / shape.taps));
        levels.tap.push_back(static_cast<int32_t>(place % shape.taps));
        const int64_t level = draws_.chance(0.3) ? (draws_.chance(0.5) ? 127 : -128) : draws_.between(-128, 127);
        levels.value.push_back(static_cast<float>(level));
      }
      levels.row.push_back(levels.nnz());
    }
    return levels;
  }

  // Everything of a layer but its shapes; x, residual and y as they are without any packing.
  struct Layer {
    const uint8_t* x = nullptr;
    const uint8_t* residual = nullptr;
    const uint8_t* y = nullptr;
    SparseWeights levels;
    std::vector<int32_t> bias;
    std::vector<float> multiplier;
    Int8Weights weights;
    Int8Tensors tensors;
  };

  void prepare(Layer& layer, const WeightShape& shape, const Int8Kernels& kernels) {
    layer.levels = random_levels(shape);
    const auto outputs = static_cast<size_t>(shape.outputs);
    for (size_t o = 0; o < outputs; ++o) {
      const bool huge = draws_.chance(0.001);
      const int64_t bias = huge ? std::numeric_limits<int32_t>::max() : draws_.between(-5000, 5000);
      layer.bias.push_back(static_cast<int32_t>(bias));
      layer.multiplier.push_back(static_cast<float>(draws_.real(0.0001, 0.01)));
    }
    layer.tensors.input_zero = static_cast<uint8_t>(draws_.between(0, 255));
    layer.tensors.zero = static_cast<int32_t>(draws_.between(0, 255));
    layer.tensors.multiplier = layer.multiplier.data();
    layer.weights = make_int8_weights(layer.levels, layer.bias.data(), layer.tensors.input_zero, kernels.pair_limit);
  }

  void run_conv() {
    const auto rank = static_cast<size_t>(draws_.between(1, 3));
    const int64_t group = draws_.chance(0.3) ? draws_.between(1, 3) : 1;
    std::vector<int64_t> weight = draws_.extents(rank, 1, draws_.chance(0.4) ? 1 : 4);
    const int64_t unit = draws_.chance(0.6) ? 4 : 1;  // of channels
    weight.insert(weight.begin(), {draws_.between(1, 12 / unit) * unit * group, draws_.between(1, 20 / unit) * unit});
    const bool plain = draws_.chance(0.3);
    const ConvAttributes conv = parse_conv_attributes(
        weight, plain ? std::vector<int64_t>{} : draws_.extents(rank, 1, 3),
        plain ? std::vector<int64_t>{} : draws_.extents(2 * rank, 0, 3),
        plain ? std::vector<int64_t>{} : draws_.extents(rank, 1, 3), group);
    std::vector<int64_t> shape = draws_.extents(rank, 1, rank == 1 ? 250 : rank == 2 ? 18 : 6);
    shape.insert(shape.begin(), {draws_.between(1, 2), conv.group_inputs * conv.groups});
    const ConvProblem problem = make_problem(conv, shape);
    const Int8Kernels& kernels = select_int8_kernels();
    Layer layer;
    prepare(layer, conv.weight_shape(), kernels);
    require(layer.levels.nnz() * problem.output_pixels() <= 1 << 17, "too large for a fuzz case");
    const Bytes x = bytes(problem.batch * conv.groups * conv.group_inputs * problem.input_pixels());
    const Bytes residual = bytes(problem.batch * conv.outputs * problem.output_pixels());
    const Bytes y = bytes(residual.size);
    const Int8Layouts packed{unit == 4 && draws_.chance(0.6), unit == 4 && draws_.chance(0.6),
                             unit == 4 && draws_.chance(0.6)};
    const Bytes packed_x = reordered(x, packed.x ? problem.input_pixels() : 1, true);
    const Bytes packed_residual = reordered(residual, packed.residual ? problem.output_pixels() : 1, true);
    layer.x = x.data.get();
    layer.tensors.x = packed_x.data.get();
    layer.tensors.y = y.data.get();
    layer.tensors.batch = problem.batch;
    if (draws_.chance(0.4)) {
      layer.residual = residual.data.get();
      layer.tensors.residual = packed_residual.data.get();
      const auto other_zero = static_cast<int32_t>(draws_.between(0, 255));
      layer.tensors.sum = {0.7F, 0.3F, other_zero, static_cast<int32_t>(draws_.between(0, 255))};
    }
    const Int8Plan plan = make_int8_plan(layer.weights, problem, packed, kernels, draws_.between(1, 9));
    for (int64_t task = 0; task < plan.tasks(problem.batch); ++task) {
      run_int8_conv_task(plan, layer.weights, kernels, layer.tensors, task);
    }
    const Bytes plain_y = reordered(y, packed.y ? problem.output_pixels() : 1, false);
    layer.y = plain_y.data.get();
    for (int64_t at = 0; at < y.size; ++at) expect(layer, at, conv_sum(conv, problem, layer, at));
  }

  void run_rows() {
    const Int8Kernels& kernels = select_int8_kernels();
    Layer layer;
    prepare(layer, {draws_.between(1, 40), draws_.between(1, 90), 1}, kernels);
    const WeightShape& shape = layer.levels.shape;
    ConvProblem problem;
    problem.batch = 1;
    problem.group_inputs = shape.inputs;
    problem.group_outputs = shape.outputs;
    problem.input = problem.output = Axes{1, 1, draws_.between(1, kernels.max_vectors) * kernels.lanes};
    const Int8Plan plan = make_int8_plan(layer.weights, problem, {}, kernels, draws_.between(1, 9));
    layer.tensors.batch = draws_.between(1, 150);
    const Bytes x = bytes(layer.tensors.batch * shape.inputs);
    const Bytes y = bytes(layer.tensors.batch * shape.outputs);
    layer.tensors.x = x.data.get();
    layer.y = layer.tensors.y = y.data.get();
    const int64_t pieces = (layer.tensors.batch + plan.columns - 1) / plan.columns;
    for (int64_t task = 0; task < pieces * plan.chunks; ++task) {
      run_int8_rows_task(plan, layer.weights, kernels, layer.tensors, task);
    }
    for (int64_t at = 0; at < y.size; ++at) {
      const int64_t output = at % shape.outputs;
      int64_t sum = layer.bias[static_cast<size_t>(output)];
      for (int64_t i = layer.levels.row[output]; i < layer.levels.row[output + 1]; ++i) {
        const int64_t level = x.data[at / shape.outputs * shape.inputs + layer.levels.channel[i]];
        sum += static_cast<int64_t>(layer.levels.value[i]) * (level - layer.tensors.input_zero);
      }
      expect(layer, at, {output, sum});
    }
  }

  struct Sum {
    int64_t output, value;
  };

  static Sum conv_sum(const ConvAttributes& conv, const ConvProblem& problem, const Layer& layer, int64_t at) {
    const int64_t pixels = problem.output_pixels();
    const int64_t output = at / pixels % conv.outputs;
    const int64_t image = at / pixels / conv.outputs;
    const Axes place{at % pixels / (problem.output[1] * problem.output[2]),
                     at % pixels / problem.output[2] % problem.output[1], at % pixels % problem.output[2]};
    const int64_t first = (image * conv.groups + output / (conv.outputs / conv.groups)) * conv.group_inputs;
    int64_t sum = layer.bias[static_cast<size_t>(output)];
    for (int64_t i = layer.levels.row[output]; i < layer.levels.row[output + 1]; ++i) {
      const int64_t tap = layer.levels.tap[i];
      const Axes k{tap / (problem.kernel[1] * problem.kernel[2]), tap / problem.kernel[2] % problem.kernel[1],
                   tap % problem.kernel[2]};
      int64_t source = first + layer.levels.channel[i];
      bool inside = true;
      for (size_t axis = 0; axis < 3; ++axis) {
        const int64_t from = place[axis] * problem.stride[axis] - problem.pad[axis] + k[axis] * problem.dilation[axis];
        inside = inside && from >= 0 && from < problem.input[axis];
        source = source * problem.input[axis] + from;
      }
      const int64_t level = inside ? layer.x[source] : layer.tensors.input_zero;
      sum += static_cast<int64_t>(layer.levels.value[i]) * (level - layer.tensors.input_zero);
    }
    return {output, sum};
  }

  static int32_t level_of(float steps, int32_t zero) {
    return std::clamp(static_cast<int32_t>(std::nearbyint(std::clamp(steps, -1e6F, 1e6F))) + zero, 0, 255);
  }

  static void expect(const Layer& layer, int64_t at, const Sum& sum) {
    const Int8Tensors& tensors = layer.tensors;
    int32_t level = level_of(static_cast<float>(sum.value) * layer.multiplier[sum.output], tensors.zero);
    if (layer.residual != nullptr) {
      const float own = static_cast<float>(level - tensors.zero) * tensors.sum.own;
      const float other = static_cast<float>(layer.residual[at] - tensors.sum.other_zero) * tensors.sum.other;
      level = level_of(own + other, tensors.sum.zero);
    }
    if (layer.y[at] == level) return;
    std::printf("output %lld is %d, not %d\n", static_cast<long long>(at), layer.y[at], level);
    std::abort();
  }

  Draws& draws_;
};

}  // namespace
}  // namespace n2n

int main(int argc, char** argv) {
  return n2n::run_cases(argc, argv, 0.0, [](n2n::Draws& draws) {
    n2n::Fuzzer(draws).once();
    return true;
  });
}
