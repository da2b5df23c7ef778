#include "sparse_input.h"

#include <cmath>
#include <string>

namespace n2n {
namespace {

std::vector<float> read_bias(const ort::KernelSetup& setup, const OpVariant& variant, int64_t outputs) {
  const ort::TensorView bias = setup.constant(variant.bias_index(), "bias");
  require(bias.type == ort::kFloat && bias.shape.size() == 1 && bias.shape[0] == outputs,
          "bias must be a float tensor with " + std::to_string(outputs) + " elements");
  std::vector<float> values(bias.floats(), bias.floats() + outputs);
  for (const float value : values) require(std::isfinite(value), "bias holds a value that is not finite");
  return values;
}

ValueType value_type(const ort::TensorView& values, bool int8) {
  if (int8) {
    require(values.type == ort::kInt8, "values must be an int8 tensor");
    return ValueType::kInt8;
  }
  require(values.type == ort::kFloat || values.type == ort::kFloat16, "values must be a float or float16 tensor");
  return values.type == ort::kFloat ? ValueType::kFloat : ValueType::kFloat16;
}

}  // namespace

Activation read_activation(const ort::KernelSetup& setup, Curve curve) {
  Activation activation;
  activation.curve = curve;
  if (curve == Curve::kClip) {
    activation.low = setup.number("low");
    activation.high = setup.number("high");
    require(!std::isnan(activation.low) && !std::isnan(activation.high), "low and high must be numbers");
  }
  if (curve == Curve::kLeakyRelu) {
    activation.slope = setup.number("slope");
    require(std::isfinite(activation.slope), "slope must be finite");
  }
  return activation;
}

SparseInput read_sparse_input(const ort::KernelSetup& setup, const OpVariant& variant, const WeightShape& shape,
                              int64_t outputs) {
  require(setup.input_count() == variant.input_count(), "the node has " + std::to_string(setup.input_count()) +
                                                            " inputs, the operator takes " +
                                                            std::to_string(variant.input_count()));
  validate(shape);
  SparseInput input;
  input.activation = read_activation(setup, variant.curve);
  input.bias = read_bias(setup, variant, outputs);
  const ort::TensorView positions = setup.constant(1, variant.bits ? "bitmask" : "gaps");
  const ort::TensorView values = setup.constant(2, "values");
  require(positions.shape.size() == 1 && values.shape.size() == 1, "positions and values must have one dimension");
  require(positions.type == ort::kUint8 || (positions.type == ort::kUint16 && !variant.bits),
          variant.bits ? "the bitmask must be a uint8 tensor" : "gaps must be a uint8 or uint16 tensor");
  CodedWeights coded;
  coded.positions = positions.data;
  coded.position_count = static_cast<size_t>(positions.size());
  coded.gap_bytes = positions.type == ort::kUint8 ? 1 : 2;
  coded.bitmask = variant.bits;
  coded.values = values.data;
  coded.value_count = static_cast<size_t>(values.size());
  coded.value_type = value_type(values, variant.int8);
  if (variant.int8) {
    const ort::TensorView scale = setup.constant(3, "scale");
    require(scale.type == ort::kFloat && scale.shape.size() <= 1, "scale must be a float scalar or a float vector");
    coded.scale = scale.floats();
    coded.scale_count = static_cast<size_t>(scale.size());
  }
  input.weights = decode(coded, shape);
  return input;
}

}  // namespace n2n
