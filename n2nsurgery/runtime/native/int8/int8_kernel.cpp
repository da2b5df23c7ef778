#include "int8_kernel.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "../rounding.h"

namespace n2n {
namespace {

constexpr int64_t kWorthThreads = 400'000;  // multiply-adds: about ten microseconds
constexpr size_t kResidual = 9;

// The scale and the zero level at these two inputs.
Levels read_levels(const ort::KernelSetup& setup, size_t index, const std::string& of) {
  const ort::TensorView scale = setup.constant(index, (of + "_scale").c_str());
  const ort::TensorView zero = setup.constant(index + 1, (of + "_zero_point").c_str());
  require(scale.type == ort::kFloat && scale.size() == 1, of + "_scale must be one float");
  require(zero.type == ort::kUint8 && zero.size() == 1, of + "_zero_point must be one uint8");
  const Levels levels{*scale.floats(), *static_cast<const uint8_t*>(zero.data)};
  require(std::isfinite(levels.scale) && levels.scale > 0.0F, of + "_scale must be finite and above 0");
  return levels;
}

// The weight's levels: places and values are inputs 3 and 4.
SparseWeights read_weight_levels(const ort::KernelSetup& setup, const Int8Variant& variant, const WeightShape& shape) {
  const ort::TensorView places = setup.constant(3, variant.bits ? "bitmask" : "gaps");
  const ort::TensorView values = setup.constant(4, "values");
  require(places.shape.size() == 1 && values.shape.size() == 1, "places and values must have one dimension");
  require(places.type == ort::kUint8 || (places.type == ort::kUint16 && !variant.bits),
          variant.bits ? "the bitmask must be a uint8 tensor" : "gaps must be a uint8 or uint16 tensor");
  require(values.type == ort::kInt8, "values must be an int8 tensor");
  const float one = 1.0F;
  CodedWeights coded;
  coded.positions = places.data;
  coded.position_count = static_cast<size_t>(places.size());
  coded.gap_bytes = places.type == ort::kUint8 ? 1 : 2;
  coded.bitmask = variant.bits;
  coded.values = values.data;
  coded.value_count = static_cast<size_t>(values.size());
  coded.value_type = ValueType::kInt8;
  coded.scale = &one;
  coded.scale_count = 1;
  return decode(coded, shape);
}

const int32_t* read_bias(const ort::KernelSetup& setup, int64_t outputs) {
  const ort::TensorView bias = setup.constant(6, "bias");
  require(bias.type == ort::kInt32 && bias.shape.size() == 1 && bias.shape[0] == outputs,
          "bias must be an int32 tensor with " + std::to_string(outputs) + " elements");
  return static_cast<const int32_t*>(bias.data);
}

// From sums to levels, for each output: as ONNX Runtime's QLinearConv computes it.
std::vector<float> read_multiplier(const ort::KernelSetup& setup, const Levels& input, const Levels& product,
                                   int64_t outputs) {
  const ort::TensorView scales = setup.constant(5, "scales");
  require(scales.type == ort::kFloat && scales.shape.size() <= 1 && (scales.size() == 1 || scales.size() == outputs),
          "scales must be a float tensor with 1 or " + std::to_string(outputs) + " elements");
  std::vector<float> multiplier;
  for (int64_t output = 0; output < outputs; ++output) {
    const float scale = scales.floats()[scales.size() == 1 ? 0 : output];
    multiplier.push_back(input.scale * scale / product.scale);
    require(scale > 0.0F && std::isfinite(multiplier.back()), "scales must be above 0, and finite beside the others");
  }
  return multiplier;
}

std::optional<ConvAttributes> read_attributes(const ort::KernelSetup& setup, const Int8Variant& variant) {
  if (variant.gemm) return std::nullopt;
  return parse_conv_attributes(setup.integers("weight_shape"), setup.integers("strides"), setup.integers("pads"),
                               setup.integers("dilations"), setup.integer("group", 1));
}

WeightShape read_shape(const ort::KernelSetup& setup, const std::optional<ConvAttributes>& conv) {
  if (conv) return conv->weight_shape();
  const std::vector<int64_t> shape = setup.integers("weight_shape");
  require(shape.size() == 2, "weight_shape must have 2 elements");
  const WeightShape weight{shape[0], shape[1], 1};
  validate(weight);
  return weight;
}

// Which of X, the residual and the result are packed; none where the node does not say.
Int8Layouts read_layouts(const ort::KernelSetup& setup, const ConvAttributes& conv) {
  const std::vector<int64_t> packed = setup.integers("packed");
  if (packed.empty()) return {};
  require(packed.size() == 3 && std::all_of(packed.begin(), packed.end(), [](int64_t p) { return p == 0 || p == 1; }),
          "packed must have 3 elements, each 0 or 1");
  const Int8Layouts layouts{packed[0] != 0, packed[1] != 0, packed[2] != 0};
  require(!layouts.x || conv.group_inputs % 4 == 0, "a packed X needs fours of inputs in each group");
  require(!(layouts.residual || layouts.y) || conv.outputs / conv.groups % 4 == 0,
          "a packed residual or result needs fours of outputs in each group");
  return layouts;
}

ConvProblem problem_of_rows(const WeightShape& shape, int64_t rows) {
  ConvProblem problem;
  problem.batch = 1;
  problem.group_inputs = shape.inputs;
  problem.group_outputs = shape.outputs;
  problem.input = problem.output = Axes{1, 1, rows};
  return problem;
}

}  // namespace

Int8Kernel::Int8Kernel(const ort::KernelSetup& setup, const Int8Variant& variant)
    : variant_(variant), conv_(read_attributes(setup, variant)), kernels_(select_int8_kernels()) {
  require(setup.input_count() == variant.input_count(), "the node has " + std::to_string(setup.input_count()) +
                                                            " inputs, the operator takes " +
                                                            std::to_string(variant.input_count()));
  if (conv_) packed_ = read_layouts(setup, *conv_);
  const WeightShape shape = read_shape(setup, conv_);
  input_ = read_levels(setup, 1, "x");
  product_ = read_levels(setup, 7, "y");
  if (variant.add) {
    residual_ = read_levels(setup, kResidual + 1, "residual");
    sum_ = read_levels(setup, kResidual + 3, "sum");
  }
  weights_ = make_int8_weights(read_weight_levels(setup, variant, shape), read_bias(setup, shape.outputs),
                               input_.zero, kernels_.pair_limit);
  multiplier_ = read_multiplier(setup, input_, product_, shape.outputs);
}

Int8Tensors Int8Kernel::tensors() const {
  Int8Tensors tensors;
  tensors.input_zero = input_.zero;
  tensors.zero = product_.zero;
  tensors.multiplier = multiplier_.data();
  tensors.sum = {product_.scale / sum_.scale, residual_.scale / sum_.scale, residual_.zero, sum_.zero};
  return tensors;
}

void Int8Kernel::compute(const ort::Invocation& invocation) {
  const ort::TensorView x = invocation.input(0, "X", ort::kUint8);
  conv_ ? compute_conv(invocation, x) : compute_rows(invocation, x);
}

void Int8Kernel::compute_conv(const ort::Invocation& invocation, const ort::TensorView& x) {
  const ConvProblem problem = make_problem(*conv_, x.shape);
  const std::vector<int64_t> shape = output_shape(*conv_, x.shape);
  Int8Tensors run = tensors();
  run.x = x.levels();
  if (variant_.add) {
    const ort::TensorView residual = invocation.input(kResidual, "residual", ort::kUint8);
    require(residual.shape == shape, "residual does not have the output's shape");
    run.residual = residual.levels();
  }
  run.y = invocation.output_levels(shape);
  run.batch = problem.batch;
  if (problem.batch == 0) return;
  const int64_t blocks = static_cast<int64_t>(weights_.blocks.size()) / problem.groups;
  const bool large = 4 * blocks * problem.output_pixels() * problem.batch >= kWorthThreads;
  const int64_t threads = large ? threads_for_image(problem.batch, threads_) : 1;
  const std::shared_ptr<const Int8Plan> plan = plans_.find(
      {problem.input, threads}, [&] { return make_int8_plan(weights_, problem, packed_, kernels_, threads); });
  run_tasks(invocation, {0, plan->tasks(problem.batch)}, large, threads_,
            [&](int64_t task) { run_int8_conv_task(*plan, weights_, kernels_, run, task); });
}

void Int8Kernel::compute_rows(const ort::Invocation& invocation, const ort::TensorView& x) {
  const WeightShape& weight = weights_.shape;
  require(x.shape.size() >= 2, "X must have at least two dimensions");
  require(x.shape.back() == weight.inputs, "X's last dimension is " + std::to_string(x.shape.back()) +
                                               ", the weight has " + std::to_string(weight.inputs) + " inputs");
  std::vector<int64_t> shape = x.shape;
  shape.back() = weight.outputs;
  Int8Tensors run = tensors();
  run.x = x.levels();
  run.y = invocation.output_levels(shape);
  run.batch = x.size() / weight.inputs;
  if (run.batch == 0) return;
  const bool large = 4 * static_cast<int64_t>(weights_.blocks.size()) * run.batch >= kWorthThreads;
  const int64_t vectors = std::min<int64_t>(ceil_div(run.batch, kernels_.lanes), kernels_.max_vectors);
  const int64_t pieces = ceil_div(run.batch, vectors * kernels_.lanes);
  const int64_t threads = large && pieces < threads_.seen() ? threads_.seen() : 1;
  const ConvProblem problem = problem_of_rows(weight, vectors * kernels_.lanes);
  const std::shared_ptr<const Int8Plan> plan =
      plans_.find({problem.input, threads}, [&] { return make_int8_plan(weights_, problem, {}, kernels_, threads); });
  run_tasks(invocation, {0, pieces * plan->chunks}, large, threads_,
            [&](int64_t task) { run_int8_rows_task(*plan, weights_, kernels_, run, task); });
}

}  // namespace n2n
