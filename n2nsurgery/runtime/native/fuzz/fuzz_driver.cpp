// Throws random weights, attributes, shapes and tilings at everything below the ONNX Runtime callbacks. Built with
// sanitizers. A refusal (Error) is fine; whatever is accepted must run inside its buffers and agree with plain loops.
//
//   fuzz_driver [ITERATIONS] [SEED]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "error.h"
#include "cost_model.h"
#include "depthwise.h"
#include "executor.h"
#include "expected_input.h"
#include "gemm_executor.h"
#include "plan.h"
#include "pool_kernel.h"
#include "processor.h"
#include "row_product.h"
#include "transposed.h"

namespace n2n {
namespace {

class Fuzzer {
 public:
  explicit Fuzzer(uint64_t seed) : random_(seed) {}

  // True if the case was accepted and run.
  bool once() {
    choose_instruction_set();
    try {
      const int64_t kind = between(0, 9);
      if (kind == 0) run_windows();
      if (kind == 1) run_depthwise_case();
      if (kind == 2) run_transposed();
      if (kind > 2) run_case();
      return true;
    } catch (const Error&) {
      return false;
    }
  }

 private:
  int64_t between(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random_); }
  bool chance(double p) { return std::bernoulli_distribution(p)(random_); }
  float number() { return std::normal_distribution<float>()(random_); }

  Activation activation() {
    return {static_cast<Curve>(between(0, kCurves - 1)), -0.5F, 1.5F, 0.1F};
  }

  // Mostly sensible, now and then not.
  int64_t extent(int64_t least, int64_t most) {
    if (!chance(0.01)) return between(least, most);
    const int64_t odd[] = {0, -1, 1 << 20, int64_t{1} << 31, std::numeric_limits<int64_t>::max(),
                           std::numeric_limits<int64_t>::min()};
    return odd[between(0, 5)];
  }

  std::vector<int64_t> extents(size_t count, int64_t least, int64_t most) {
    if (chance(0.02)) count = static_cast<size_t>(between(0, 7));
    std::vector<int64_t> values;
    for (size_t i = 0; i < count; ++i) values.push_back(extent(least, most));
    return values;
  }

  void choose_instruction_set() {
    const char* names[] = {"", "avx2", "portable", "avx512", "neon"};
    setenv("N2NSURGERY_ISA", names[between(0, 4)], 1);
  }

  SparseWeights random_weights(const WeightShape& shape) {
    validate(shape);
    const int64_t places = shape.outputs * shape.inputs * shape.taps;
    require(places <= 1 << 20, "too large for a fuzz case");
    if (chance(0.3)) return garbage_weights(shape);
    std::vector<uint8_t> mask(static_cast<size_t>((places + 7) / 8));
    std::vector<float> values;
    const double density = std::uniform_real_distribution<double>(0.0, chance(0.1) ? 1.0 : 0.3)(random_);
    const bool blocks = chance(0.4);
    const int64_t row = shape.inputs * shape.taps;
    std::vector<uint8_t> pattern(static_cast<size_t>(row));
    for (int64_t o = 0; o < shape.outputs; ++o) {
      if (!blocks || o % 4 == 0) {
        for (uint8_t& present : pattern) present = chance(density) ? 1 : 0;
      }
      for (int64_t i = 0; i < row; ++i) {
        if (pattern[static_cast<size_t>(i)] == 0) continue;
        const int64_t place = o * row + i;
        mask[static_cast<size_t>(place / 8)] |= static_cast<uint8_t>(1U << (place % 8));
        values.push_back(number());
      }
    }
    CodedWeights coded;
    coded.bitmask = true;
    coded.positions = mask.data();
    coded.position_count = mask.size();
    coded.values = values.data();
    coded.value_count = values.size();
    return decode(coded, shape);
  }

  SparseWeights garbage_weights(const WeightShape& shape) {
    CodedWeights coded;
    coded.bitmask = chance(0.3);
    coded.gap_bytes = chance(0.5) ? 1 : 2;
    const auto count = static_cast<size_t>(between(0, 60));
    coded.position_count = chance(0.9) ? count : static_cast<size_t>(between(0, 60));
    coded.value_count = count;
    std::vector<uint16_t> positions(coded.position_count + 1);
    for (uint16_t& position : positions) position = static_cast<uint16_t>(between(0, chance(0.05) ? 65535 : 40));
    std::vector<float> values(count + 1);
    for (float& value : values) value = chance(0.005) ? std::numeric_limits<float>::quiet_NaN() : number();
    std::vector<float> scale(static_cast<size_t>(between(0, 3)));
    for (float& value : scale) value = number();
    coded.positions = positions.data();
    coded.values = values.data();
    coded.value_type = static_cast<ValueType>(between(0, 2));
    coded.scale = scale.data();
    coded.scale_count = scale.size();
    return decode(coded, shape);
  }

  Tiling random_tiling(const ConvProblem& problem, const Kernels& kernels, bool blocks) {
    Tiling tiling;
    tiling.registers = static_cast<int>(between(1, blocks ? kernels.max_block_registers : kernels.max_registers));
    const int64_t all = problem.group_inputs * problem.kernel[0];
    tiling.channels = chance(0.5) ? all : std::min(all, between(1, problem.group_inputs) * problem.kernel[0]);
    tiling.rows = between(1, std::min<int64_t>(problem.output[1], 9));
    tiling.columns = problem.output[2];
    if (chance(0.3)) tiling.columns = std::min(problem.output[2], between(1, 9) * kernels.lanes);
    tiling.aligned = tiling.columns != problem.output[2] || chance(0.6);
    tiling.direct = problem.pointwise() && problem.input_pixels() % kernels.lanes == 0 && chance(0.5);
    if (tiling.direct) tiling.rows = 1;
    tiling.chunks = between(1, 3);
    return tiling;
  }

  void run_case() {
    const auto rank = static_cast<size_t>(between(1, 3));
    const int64_t group = chance(0.3) ? extent(1, 3) : 1;
    std::vector<int64_t> weight_shape = extents(rank, 1, chance(0.5) ? 1 : 4);
    const int64_t group_inputs = extent(1, 20);
    const bool divisible = chance(0.95) && group >= 1 && group < 4;
    weight_shape.insert(weight_shape.begin(), {divisible ? between(1, 14) * group : extent(1, 14), group_inputs});
    const bool plain = chance(0.4);
    const ConvAttributes conv = parse_conv_attributes(
        weight_shape, plain ? std::vector<int64_t>{} : extents(rank, 1, 3),
        plain ? std::vector<int64_t>{} : extents(2 * rank, 0, 3),
        plain ? std::vector<int64_t>{} : extents(rank, 1, 3), group);
    expect_anything(conv);
    std::vector<int64_t> shape = extents(rank, 1, rank == 1 ? 900 : rank == 2 ? 40 : 10);
    shape.insert(shape.begin(), {between(1, 2), chance(0.97) ? conv.group_inputs * conv.groups : 5});
    const ConvProblem problem = make_problem(conv, shape);
    require(problem.input_pixels() <= 1 << 16 && problem.output_pixels() <= 1 << 16, "too large for a fuzz case");
    const SparseWeights weights = random_weights(conv.weight_shape());
    require(weights.nnz() * problem.output_pixels() <= 1 << 23, "too large for a fuzz case");
    if (weights.shape.taps == 1) {
      run_rows(weights);
      run_many_rows(weights);
    }
    const BlockMap blocks(weights, conv.groups);
    const Kernels& kernels = select_kernels();
    const Tiling tiling = random_tiling(problem, kernels, blocks.any());
    const int64_t threads = between(1, 9);
    const Plan plan = chance(0.5) ? make_plan(weights, blocks, problem, kernels, threads)
                                  : make_plan(weights, blocks, problem, kernels, threads, tiling);
    run_plan(conv, problem, weights, plan, kernels);
  }

  // A depthwise convolution against plain sums over each result's taps.
  void run_depthwise_case() {
    const int64_t channels = between(1, 40);
    const ConvAttributes conv = parse_depthwise_attributes(extents(2, 1, 7), extents(2, 1, 3), extents(4, 0, 3),
                                                           extents(2, 1, 3), channels);
    const int64_t width = extent(1, chance(0.1) ? 1200 : 60);
    const ConvProblem problem = make_problem(conv, {between(0, 2), channels, extent(1, 60), width});
    require(problem.input_pixels() <= 1 << 16 && problem.output_pixels() <= 1 << 16, "too large for a fuzz case");
    const int64_t taps = conv.weight_shape().taps;
    require(channels * taps * problem.output_pixels() <= 1 << 21, "too large for a fuzz case");
    std::vector<float> weights(static_cast<size_t>(channels * taps));
    for (float& weight : weights) weight = chance(0.5) ? number() : 0.0F;
    std::vector<float> x(static_cast<size_t>(problem.batch * channels * problem.input_pixels()));
    std::vector<float> y(static_cast<size_t>(problem.batch * channels * problem.output_pixels()),
                         std::numeric_limits<float>::quiet_NaN());
    for (float& value : x) value = number();
    const std::vector<float> bias(static_cast<size_t>(channels), 1.0F);
    const Kernels& kernels = select_kernels();
    const Plan plan = make_depthwise_plan(problem, kernels);
    const TapList list = list_taps(weights.data(), channels, taps);
    const DepthwiseTensors tensors{x.data(), &list, bias.data(), y.data(), {}};
    const int64_t middle = between(0, problem.batch * channels);
    run_depthwise(plan, kernels, tensors, middle, problem.batch * channels);
    run_depthwise(plan, kernels, tensors, 0, middle);
    for (size_t i = 0; i < y.size(); ++i) {
      const double expected = depthwise_sum(problem, weights, x, static_cast<int64_t>(i));
      if (std::abs(expected - y[i]) <= 1e-3 * (1.0 + std::abs(expected))) continue;
      std::printf("output %zu of a depthwise convolution is %g, not %g\n", i, y[i], expected);
      std::abort();
    }
  }

  static double depthwise_sum(const ConvProblem& problem, const std::vector<float>& weights,
                              const std::vector<float>& x, int64_t at) {
    const int64_t plane = at / problem.output_pixels();
    const int64_t pixel = at % problem.output_pixels();
    const int64_t taps = problem.kernel[1] * problem.kernel[2];
    double sum = 1.0;
    for (int64_t tap = 0; tap < taps; ++tap) {
      const int64_t row = pixel / problem.output[2] * problem.stride[1] - problem.pad[1] +
                          tap / problem.kernel[2] * problem.dilation[1];
      const int64_t column = pixel % problem.output[2] * problem.stride[2] - problem.pad[2] +
                             tap % problem.kernel[2] * problem.dilation[2];
      if (row < 0 || row >= problem.input[1] || column < 0 || column >= problem.input[2]) continue;
      const int64_t from = plane * problem.input_pixels() + row * problem.input[2] + column;
      sum += static_cast<double>(weights[static_cast<size_t>(plane % problem.groups * taps + tap)]) *
             x[static_cast<size_t>(from)];
    }
    return sum;
  }

  // A transposed convolution against plain loops over the weights.
  void run_transposed() {
    const auto rank = static_cast<size_t>(between(1, 3));
    const int64_t group = chance(0.3) ? extent(1, 3) : 1;
    std::vector<int64_t> weight_shape = extents(rank, 1, 4);
    weight_shape.insert(weight_shape.begin(), {between(1, 8) * (group > 0 && group < 4 ? group : 1), extent(1, 8)});
    const TransposedAttributes transposed = parse_transposed_attributes(
        weight_shape, extents(rank, 1, 3), chance(0.5) ? std::vector<int64_t>{} : extents(2 * rank, 0, 3),
        chance(0.7) ? std::vector<int64_t>{} : extents(rank, 0, 1), extents(rank, 1, 2), group);
    std::vector<int64_t> shape = extents(rank, 1, rank == 1 ? 300 : rank == 2 ? 30 : 8);
    shape.insert(shape.begin(), {between(1, 2), chance(0.97) ? transposed.conv.outputs : 5});
    const ConvProblem problem = make_problem(transposed, shape);
    const Shuffle shuffle = make_shuffle(transposed, shape);
    require(problem.input_pixels() <= 1 << 16 && problem.output_pixels() <= 1 << 16, "too large for a fuzz case");
    require(transposed.outputs() * shuffle.output_pixels() <= 1 << 20, "too large for a fuzz case");
    const SparseWeights given = random_weights(transposed.conv.weight_shape());
    require(given.nnz() * problem.output_pixels() <= 1 << 22, "too large for a fuzz case");
    const SparseWeights weights = weights_of_phases(given, transposed);
    const BlockMap blocks(weights, transposed.conv.groups);
    const Kernels& kernels = select_kernels();
    const Plan plan = chance(0.5) ? make_plan(weights, blocks, problem, kernels, between(1, 9))
                                  : make_plan(weights, blocks, problem, kernels, between(1, 9),
                                              random_tiling(problem, kernels, blocks.any()));
    std::vector<float> x(static_cast<size_t>(problem.batch * transposed.conv.outputs * problem.input_pixels()));
    std::vector<float> y(static_cast<size_t>(problem.batch * transposed.outputs() * shuffle.output_pixels()),
                         std::numeric_limits<float>::quiet_NaN());
    for (float& value : x) value = number();
    const std::vector<float> bias(static_cast<size_t>(problem.groups * problem.group_outputs), 1.0F);
    ConvTensors tensors;
    tensors.x = x.data();
    tensors.bias = bias.data();
    tensors.y = y.data();
    tensors.batch = problem.batch;
    tensors.shuffle = &shuffle;
    tensors.packed = shared_input(plan, plan.patches(problem.batch));
    for (int64_t task = 0; task < plan.tasks(problem.batch); ++task) run_conv_task(plan, kernels, tensors, task);
    const std::vector<double> expected = scattered(transposed, shape, given, x, shuffle);
    for (size_t i = 0; i < y.size(); ++i) {
      if (std::abs(expected[i] - y[i]) <= 1e-3 * (1.0 + std::abs(expected[i]))) continue;
      std::printf("output %zu of a transposed convolution is %g, not %g\n", i, y[i], expected[i]);
      std::abort();
    }
  }

  // Each input times each weight, added where it lands.
  static std::vector<double> scattered(const TransposedAttributes& transposed, const std::vector<int64_t>& shape,
                                       const SparseWeights& weights, const std::vector<float>& x,
                                       const Shuffle& shuffle) {
    const ConvAttributes& conv = transposed.conv;
    Axes extents{1, 1, 1};
    std::copy(shape.begin() + 2, shape.end(), extents.end() - conv.spatial_rank);
    const int64_t pixels = extents[0] * extents[1] * extents[2];
    std::vector<double> y(static_cast<size_t>(shape[0] * transposed.outputs() * shuffle.output_pixels()), 1.0);
    for (int64_t at = 0; at < static_cast<int64_t>(x.size()); ++at) {
      const int64_t input = at / pixels % conv.outputs;
      const Axes from{at % pixels / (extents[1] * extents[2]), at / extents[2] % extents[1], at % extents[2]};
      const int64_t first = at / pixels / conv.outputs * transposed.outputs() +
                            input / (conv.outputs / conv.groups) * conv.group_inputs;
      for (int64_t i = weights.row[input]; i < weights.row[input + 1]; ++i) {
        const int64_t tap = weights.tap[i];
        const Axes k{tap / (conv.kernel[1] * conv.kernel[2]), tap / conv.kernel[2] % conv.kernel[1],
                     tap % conv.kernel[2]};
        int64_t target = first + weights.channel[i];
        bool inside = true;
        for (size_t axis = 0; axis < 3; ++axis) {
          const int64_t to = from[axis] * conv.stride[axis] + k[axis] * conv.dilation[axis] - conv.pad_begin[axis];
          inside = inside && to >= 0 && to < shuffle.output[axis];
          target = target * shuffle.output[axis] + to;
        }
        if (inside) y[static_cast<size_t>(target)] += static_cast<double>(weights.value[i]) * x[static_cast<size_t>(at)];
      }
    }
    return y;
  }

  // Claims of a shape, -1 for what they leave open: taken or not, their sizes stay countable.
  void expect_anything(const ConvAttributes& conv) {
    std::vector<int64_t> claimed = extents(static_cast<size_t>(conv.spatial_rank) + 2, -1, 100);
    if (claimed.size() > 1 && chance(0.9)) claimed[1] = conv.groups * conv.group_inputs;
    const std::optional<ConvProblem> expected = expected_problem(conv, claimed);
    if (expected && expected->output_pixels() * conv.outputs < 1) std::abort();
    const std::optional<int64_t> rows = expected_rows(conv.weight_shape(), claimed);
    if (rows && *rows * conv.outputs < 1) std::abort();
  }

  // The maxima of random windows over a few channels, each against its window read element by element.
  void run_windows() {
    const ConvAttributes window = parse_pool_attributes(extents(2, 1, 5), extents(2, 1, 3), extents(4, 0, 2));
    const ConvProblem problem = make_problem(window, {between(0, 3), 1, extent(1, 70), extent(1, 70)});
    require(problem.input_pixels() <= 1 << 16 && problem.output_pixels() <= 1 << 16, "too large for a fuzz case");
    std::vector<float> x(static_cast<size_t>(problem.batch * problem.input_pixels()));
    std::vector<float> y(static_cast<size_t>(problem.batch * problem.output_pixels()));
    for (float& value : x) value = number();
    const int64_t middle = between(0, problem.batch);
    run_pool(problem, select_kernels(), x.data(), y.data(), 0, middle);
    run_pool(problem, select_kernels(), x.data(), y.data(), middle, problem.batch);
    for (size_t i = 0; i < y.size(); ++i) {
      if (y[i] != largest(problem, x.data(), static_cast<int64_t>(i))) std::abort();
    }
  }

  static float largest(const ConvProblem& problem, const float* x, int64_t at) {
    const int64_t pixel = at % problem.output_pixels();
    const float* plane = x + at / problem.output_pixels() * problem.input_pixels();
    const int64_t top = pixel / problem.output[2] * problem.stride[1] - problem.pad[1];
    const int64_t left = pixel % problem.output[2] * problem.stride[2] - problem.pad[2];
    float best = std::numeric_limits<float>::lowest();
    for (int64_t tap = 0; tap < problem.kernel[1] * problem.kernel[2]; ++tap) {
      const int64_t row = top + tap / problem.kernel[2];
      const int64_t column = left + tap % problem.kernel[2];
      const bool inside = row >= 0 && row < problem.input[1] && column >= 0 && column < problem.input[2];
      if (inside) best = std::max(best, plane[row * problem.input[2] + column]);
    }
    return best;
  }

  // One row of a linear layer with these weights against plain sums.
  void run_rows(const SparseWeights& weights) {
    std::vector<float> x(static_cast<size_t>(weights.shape.inputs));
    std::vector<float> y(static_cast<size_t>(weights.shape.outputs));
    const std::vector<float> bias(y.size(), 1.0F);
    for (float& value : x) value = number();
    GemmTensors tensors;
    tensors.x = x.data();
    tensors.bias = bias.data();
    tensors.y = y.data();
    run_gemm_row(weights, ShortInputs(weights), select_kernels(), tensors, 0, 0, weights.shape.outputs);
    for (size_t o = 0; o < y.size(); ++o) {
      double sum = 1.0;
      for (auto i = static_cast<size_t>(weights.row[o]); i < static_cast<size_t>(weights.row[o + 1]); ++i) {
        sum += static_cast<double>(weights.value[i]) * x[static_cast<size_t>(weights.channel[i])];
      }
      if (std::abs(sum - y[o]) <= 1e-3 * (1.0 + std::abs(sum))) continue;
      std::printf("row product %zu is %g, not %g\n", o, y[o], sum);
      std::abort();
    }
  }

  // Many rows of a linear layer, cut anyhow, against each row alone: equal but for the order of the sums.
  void run_many_rows(const SparseWeights& weights) {
    const Kernels& kernels = select_kernels();
    const BlockMap blocks(weights, 1);
    const int64_t most = choose_row_vectors({gemm_problem(weights.shape, 1), weights.nnz(), blocks.share()}, kernels);
    const int64_t vectors = between(1, most);
    const Plan plan = make_gemm_plan(weights, blocks, kernels, vectors, between(1, 5));
    const int64_t rows = between(1, 100);
    const auto inputs = static_cast<size_t>(weights.shape.inputs);
    const auto outputs = static_cast<size_t>(weights.shape.outputs);
    std::vector<float> x(static_cast<size_t>(rows) * inputs);
    std::vector<float> residual(static_cast<size_t>(rows) * outputs);
    std::vector<float> y(residual.size());
    std::vector<float> alone(residual.size());
    for (float& value : x) value = number();
    for (float& value : residual) value = number();
    const std::vector<float> bias(outputs, 1.0F);
    GemmTensors tensors;
    tensors.x = x.data();
    tensors.bias = bias.data();
    tensors.residual = chance(0.5) ? residual.data() : nullptr;
    tensors.activation = activation();
    tensors.y = alone.data();
    for (int64_t row = 0; row < rows; ++row) {
      run_gemm_row(weights, ShortInputs(weights), kernels, tensors, row, 0, weights.shape.outputs);
    }
    tensors.y = y.data();
    tensors.rows = rows;
    tensors.piece_rows = between(1, vectors) * kernels.lanes;
    tensors.packed = shared_input(plan, tensors.pieces());
    const int64_t tasks = tensors.pieces() * (plan.pack_parts + plan.tiling.chunks);
    for (int64_t task = 0; task < tasks; ++task) run_gemm_task(plan, kernels, tensors, task);
    for (size_t i = 0; i < y.size(); ++i) {
      if (std::isnan(alone[i]) || std::abs(alone[i] - y[i]) <= 1e-3F * (1.0F + std::abs(alone[i]))) continue;
      std::printf("value %zu of many rows is %g, not %g\n", i, y[i], alone[i]);
      std::abort();
    }
  }

  void run_plan(const ConvAttributes& conv, const ConvProblem& problem, const SparseWeights& weights, const Plan& plan,
                const Kernels& kernels) {
    const auto inputs = static_cast<size_t>(problem.batch * conv.groups * conv.group_inputs * problem.input_pixels());
    const auto outputs = static_cast<size_t>(problem.batch * conv.outputs * problem.output_pixels());
    const std::unique_ptr<float[]> x(new float[inputs]);
    const std::unique_ptr<float[]> y(new float[outputs]);
    std::vector<float> bias(static_cast<size_t>(conv.outputs));
    for (size_t i = 0; i < inputs; ++i) x[i] = number();
    for (float& value : bias) value = number();
    std::fill_n(y.get(), outputs, std::numeric_limits<float>::quiet_NaN());
    ConvTensors tensors;
    tensors.x = x.get();
    tensors.bias = bias.data();
    tensors.y = y.get();
    tensors.batch = problem.batch;
    tensors.packed = shared_input(plan, plan.patches(problem.batch));
    for (int64_t task = 0; task < plan.tasks(problem.batch); ++task) run_conv_task(plan, kernels, tensors, task);
    compare(conv, problem, weights, tensors);
  }

  // A few random outputs against plain loops; none may have been left out.
  void compare(const ConvAttributes& conv, const ConvProblem& problem, const SparseWeights& weights,
               const ConvTensors& tensors) {
    const int64_t pixels = problem.output_pixels();
    const int64_t total = problem.batch * conv.outputs * pixels;
    for (int64_t i = 0; i < total; ++i) {
      if (!std::isnan(tensors.y[i])) continue;
      std::printf("output %lld was never written\n", static_cast<long long>(i));
      std::abort();
    }
    for (int sample = 0; sample < 50; ++sample) {
      const int64_t at = between(0, total - 1);
      const double expected = plain(conv, problem, weights, tensors, at);
      if (std::abs(expected - tensors.y[at]) > 1e-3 * (1.0 + std::abs(expected))) {
        std::printf("output %lld is %g, not %g\n", static_cast<long long>(at), tensors.y[at], expected);
        std::abort();
      }
    }
  }

  static double plain(const ConvAttributes& conv, const ConvProblem& problem, const SparseWeights& weights,
                      const ConvTensors& tensors, int64_t at) {
    const int64_t pixels = problem.output_pixels();
    const int64_t output = at / pixels % conv.outputs;
    const int64_t image = at / pixels / conv.outputs;
    const int64_t pixel = at % pixels;
    const Axes place{pixel / (problem.output[1] * problem.output[2]),
                     pixel / problem.output[2] % problem.output[1], pixel % problem.output[2]};
    const int64_t first = (image * conv.groups + output / (conv.outputs / conv.groups)) * conv.group_inputs;
    double sum = tensors.bias[output];
    for (int64_t i = weights.row[output]; i < weights.row[output + 1]; ++i) {
      const int64_t tap = weights.tap[i];
      const Axes k{tap / (problem.kernel[1] * problem.kernel[2]), tap / problem.kernel[2] % problem.kernel[1],
                   tap % problem.kernel[2]};
      int64_t source = first + weights.channel[i];
      bool inside = true;
      for (size_t axis = 0; axis < 3; ++axis) {
        const int64_t from = place[axis] * problem.stride[axis] - problem.pad[axis] + k[axis] * problem.dilation[axis];
        inside = inside && from >= 0 && from < problem.input[axis];
        source = source * problem.input[axis] + from;
      }
      if (inside) sum += static_cast<double>(weights.value[i]) * tensors.x[source];
    }
    return sum;
  }

  std::mt19937_64 random_;
};

}  // namespace
}  // namespace n2n

int main(int argc, char** argv) {
  const long iterations = argc > 1 ? std::atol(argv[1]) : 2000;
  n2n::Fuzzer fuzzer(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
  long run = 0;
  for (long i = 0; i < iterations; ++i) run += fuzzer.once() ? 1 : 0;
  std::printf("%ld cases, %ld accepted\n", iterations, run);
  return 0;
}
