// Checked access to ONNX Runtime's C ABI: every OrtStatus is inspected, turned into an Error and released.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "error.h"
#include "ort_abi.h"

namespace n2n::ort {

inline void check(Api api, Status* status) {
  if (status == nullptr) return;
  const std::string message = GetErrorMessage::of(api)(status);
  ReleaseStatus::of(api)(status);
  throw Error(message);
}

// True if the call succeeded; a failure is released and forgotten. For things that may be absent.
inline bool succeeded(Api api, Status* status) {
  if (status == nullptr) return true;
  ReleaseStatus::of(api)(status);
  return false;
}

// A tensor's shape, element type and data.
struct TensorView {
  std::vector<int64_t> shape;
  ElementType type = kUndefined;
  const void* data = nullptr;

  int64_t size() const {
    int64_t product = 1;
    for (const int64_t extent : shape) product *= extent;
    return product;
  }
  const float* floats() const { return static_cast<const float*>(data); }
  const uint8_t* levels() const { return static_cast<const uint8_t*>(data); }
};

inline void* mutable_data(Api api, Value* value) {
  void* data = nullptr;
  check(api, GetTensorMutableData::of(api)(value, &data));
  return data;
}

inline TensorView view(Api api, const Value* value) {
  TensorView tensor;
  TensorTypeAndShapeInfo* info = nullptr;
  check(api, GetTensorTypeAndShape::of(api)(value, &info));
  const auto release = [api](TensorTypeAndShapeInfo* held) { ReleaseTensorTypeAndShapeInfo::of(api)(held); };
  const std::unique_ptr<TensorTypeAndShapeInfo, decltype(release)> guard(info, release);
  size_t rank = 0;
  check(api, GetDimensionsCount::of(api)(info, &rank));
  tensor.shape.resize(rank);
  check(api, GetDimensions::of(api)(info, tensor.shape.data(), rank));
  check(api, GetTensorElementType::of(api)(info, &tensor.type));
  tensor.data = mutable_data(api, const_cast<Value*>(value));
  return tensor;
}

// What a kernel reads once, when it is created.
class KernelSetup {
 public:
  KernelSetup(Api api, const KernelInfo* info) : api_(api), info_(info) {}

  size_t input_count() const {
    size_t count = 0;
    check(api_, KernelInfoGetInputCount::of(api_)(info_, &count));
    return count;
  }

  std::optional<TensorView> constant_if_any(size_t index) const {
    int is_constant = 0;
    const Value* value = nullptr;
    check(api_, KernelInfoGetConstantInput::of(api_)(info_, index, &is_constant, &value));
    if (is_constant == 0 || value == nullptr) return std::nullopt;
    return view(api_, value);
  }

  TensorView constant(size_t index, const char* name) const {
    const std::optional<TensorView> found = constant_if_any(index);
    require(found.has_value(), std::string("input '") + name + "' must be a constant initializer of the model");
    return *found;
  }

  // What the model says of an input's shape, -1 for what it leaves open; empty if it says nothing. A claim, not a fact.
  std::vector<int64_t> claimed_shape(size_t index) const {
    TypeInfo* type = nullptr;
    if (!succeeded(api_, KernelInfoGetInputTypeInfo::of(api_)(info_, index, &type)) || type == nullptr) return {};
    const auto release = [this](TypeInfo* held) { ReleaseTypeInfo::of(api_)(held); };
    const std::unique_ptr<TypeInfo, decltype(release)> guard(type, release);
    const TensorTypeAndShapeInfo* tensor = nullptr;  // owned by the type
    if (!succeeded(api_, CastTypeInfoToTensorInfo::of(api_)(type, &tensor)) || tensor == nullptr) return {};
    size_t rank = 0;
    if (!succeeded(api_, GetDimensionsCount::of(api_)(tensor, &rank))) return {};
    std::vector<int64_t> shape(rank, -1);
    if (rank != 0 && !succeeded(api_, GetDimensions::of(api_)(tensor, shape.data(), rank))) return {};
    return shape;
  }

  // The attribute's value, which every such node carries.
  float number(const char* name) const {
    float value = 0.0F;
    check(api_, KernelInfoGetAttributeFloat::of(api_)(info_, name, &value));
    return value;
  }

  int64_t integer(const char* name, int64_t otherwise) const {
    int64_t value = otherwise;
    return succeeded(api_, KernelInfoGetAttributeInt::of(api_)(info_, name, &value)) ? value : otherwise;
  }

  // The attribute's values, or an empty vector if it is absent.
  std::vector<int64_t> integers(const char* name) const {
    size_t count = 0;
    if (!succeeded(api_, KernelInfoGetAttributeInts::of(api_)(info_, name, nullptr, &count))) return {};
    std::vector<int64_t> values(count);
    if (count != 0) check(api_, KernelInfoGetAttributeInts::of(api_)(info_, name, values.data(), &count));
    return values;
  }

 private:
  Api api_;
  const KernelInfo* info_;
};

// What a kernel sees of one Run.
class Invocation {
 public:
  Invocation(Api api, KernelContext* context, bool parallel) : api_(api), context_(context), parallel_(parallel) {}

  TensorView input(size_t index, const char* name, ElementType type = kFloat) const {
    const Value* value = nullptr;
    check(api_, KernelContextGetInput::of(api_)(context_, index, &value));
    require(value != nullptr, std::string("input '") + name + "' is missing");
    TensorView tensor = view(api_, value);
    require(tensor.type == type,
            std::string("input '") + name + "' must be a " + (type == kFloat ? "float" : "uint8") + " tensor");
    return tensor;
  }

  float* output(const std::vector<int64_t>& shape) const { return static_cast<float*>(result(shape)); }
  uint8_t* output_levels(const std::vector<int64_t>& shape) const { return static_cast<uint8_t*>(result(shape)); }

  // Calls body(data, i) for i in [0, count) on the session's intra-op pool, or here if there is none.
  void parallel(size_t count, void (*body)(void*, size_t), void* data) const {
    if (parallel_ && count > 1) {
      check(api_, KernelContextParallelFor::of(api_)(context_, body, count, 0, data));
      return;
    }
    for (size_t i = 0; i < count; ++i) body(data, i);
  }

 private:
  void* result(const std::vector<int64_t>& shape) const {
    Value* value = nullptr;
    check(api_, KernelContextGetOutput::of(api_)(context_, 0, shape.data(), shape.size(), &value));
    require(value != nullptr, "ONNX Runtime gave no output tensor");
    return mutable_data(api_, value);
  }

  Api api_;
  KernelContext* context_;
  bool parallel_;
};

}  // namespace n2n::ort
