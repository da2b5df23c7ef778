#include "int8_ops.h"

#include <memory>
#include <string>

#include "../custom_op.h"
#include "../ort_call.h"
#include "int8_kernel.h"

namespace n2n {
namespace {

struct Int8Op : ort::CustomOp {
  Int8Variant variant;
  std::string name;
  bool parallel = false;
};

struct Int8Node {
  ort::Api api;
  bool parallel;
  std::string name;
  Int8Kernel kernel;
};

const Int8Op& op_of(const ort::CustomOp* op) { return *static_cast<const Int8Op*>(op); }

ort::Status* create_kernel(const ort::CustomOp* custom_op, ort::Api api, const ort::KernelInfo* info, void** kernel) {
  const Int8Op& op = op_of(custom_op);
  return guarded(api, op.name, [&] {
    const ort::KernelSetup setup(api, info);
    *kernel = new Int8Node{api, op.parallel, op.name, Int8Kernel(setup, op.variant)};
  });
}

ort::Status* compute(void* kernel, ort::KernelContext* context) {
  auto& node = *static_cast<Int8Node*>(kernel);
  return guarded(node.api, node.name,
                 [&] { node.kernel.compute(ort::Invocation(node.api, context, node.parallel)); });
}

// X, its levels, places, values, scales, bias, the result's levels; residual, its levels, the sum's levels.
ort::ElementType input_type(const ort::CustomOp* op, size_t index) {
  const bool bits = op_of(op).variant.bits;
  const ort::ElementType types[] = {ort::kUint8,  ort::kFloat, ort::kUint8, bits ? ort::kUint8 : ort::kUndefined,
                                    ort::kInt8,   ort::kFloat, ort::kInt32, ort::kFloat,
                                    ort::kUint8,  ort::kUint8, ort::kFloat, ort::kUint8,
                                    ort::kFloat,  ort::kUint8};
  return types[index];
}

Int8Op make_op(const std::string& kind, const Int8Variant& variant, bool parallel) {
  Int8Op op{};
  set_plain_callbacks(op);
  op.variant = variant;
  op.name = "SparseQLinear" + kind + (variant.add ? "Add" : "") + (variant.bits ? "Bits" : "");
  op.parallel = parallel;
  op.version = ort::kCustomOpVersion;
  op.GetName = [](const ort::CustomOp* o) { return op_of(o).name.c_str(); };
  op.GetInputType = input_type;
  op.GetInputTypeCount = [](const ort::CustomOp* o) { return op_of(o).variant.input_count(); };
  op.GetOutputType = [](const ort::CustomOp*, size_t) { return ort::kUint8; };
  op.KernelDestroy = [](void* kernel) { delete static_cast<Int8Node*>(kernel); };
  op.CreateKernelV2 = create_kernel;
  op.KernelComputeV2 = compute;
  return op;
}

std::vector<Int8Op> make_ops(bool parallel) {
  std::vector<Int8Op> ops;
  for (const bool bits : {false, true}) {
    ops.push_back(make_op("Conv", {false, false, bits}, parallel));
    ops.push_back(make_op("Conv", {false, true, bits}, parallel));
    for (const char* kind : {"Gemm", "MatMul"}) ops.push_back(make_op(kind, {true, false, bits}, parallel));
  }
  return ops;
}

}  // namespace

const std::vector<const ort::CustomOp*>& int8_ops(bool parallel) {
  // NOLINTNEXTLINE(cppcoreguidelines-owning-memory): never freed, because sessions keep pointers into it
  static const auto& ops = *new std::vector<Int8Op>(make_ops(parallel));
  static const auto& addresses = *new std::vector<const ort::CustomOp*>([] {
    std::vector<const ort::CustomOp*> found;
    for (const Int8Op& op : ops) found.push_back(&op);
    return found;
  }());
  return addresses;
}

}  // namespace n2n
