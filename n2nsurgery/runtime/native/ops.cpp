// The custom-op library: the operators of domain `n2nsurgery`, version 1, and the entry point that ONNX Runtime calls.
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "conv_kernel.h"
#include "custom_op.h"
#include "depthwise_kernel.h"
#include "gemm_kernel.h"
#include "int8/int8_ops.h"
#include "ort_call.h"
#include "pool_kernel.h"
#include "scale_kernel.h"
#include "transposed_kernel.h"

namespace n2n {
namespace {

constexpr const char* kDomain = "n2nsurgery";
constexpr const char* kPool = "PlainMaxPool";
constexpr const char* kDepthwise = "PlainDepthwiseConv";
constexpr const char* kNormalization = "PlainBatchNormalization";
constexpr size_t kMostJoined = 32;  // inputs of PlainJoined...BatchNormalizationRelu
constexpr const char* kGate = "PlainGate";
// One kernel; a file's functions of these names are written with other standard operators.
constexpr const char* kLinearNames[] = {"Gemm", "Linear", "MatMul"};
constexpr const char* kCurveNames[kCurves] = {"",          "Relu", "Clip", "LeakyRelu",
                                              "HardSwish", "Silu", "Gelu", "TanhGelu"};

// What a node computes when it runs; safe to call from several threads at once.
using Compute = std::function<void(const ort::Invocation&)>;

template <class Kernel, class... Arguments>
Compute computing(const Arguments&... arguments) {
  const auto kernel = std::make_shared<Kernel>(arguments...);
  return [kernel](const ort::Invocation& invocation) { kernel->compute(invocation); };
}

template <class Kernel>
Compute make_with_variant(const ort::KernelSetup& setup, const OpVariant& variant) {
  return computing<Kernel>(setup, variant);
}

Compute make_depthwise(const ort::KernelSetup& setup, const OpVariant& variant) {
  return computing<DepthwiseKernel>(setup, variant.curve);
}

Compute make_normalization(const ort::KernelSetup& setup, const OpVariant& variant) {
  return computing<NormalizationKernel>(setup, variant.curve, variant.joined);
}

template <class Kernel>
Compute make_plain(const ort::KernelSetup& setup, const OpVariant&) {
  return computing<Kernel>(setup);
}

struct Op : ort::CustomOp {
  std::string name;
  size_t inputs = 1;
  Compute (*make)(const ort::KernelSetup&, const OpVariant&) = nullptr;
  OpVariant variant;  // of an op that is not sparse, the curve and how many inputs are joined
  bool parallel = false;  // the running ONNX Runtime lends its threads
};

// A node of a model and what its callbacks need besides.
struct Node {
  ort::Api api = nullptr;
  const Op* op = nullptr;  // never freed
  Compute compute;
};

const Op& op_of(const ort::CustomOp* op) { return *static_cast<const Op*>(op); }

ort::Status* create_kernel(const ort::CustomOp* custom_op, ort::Api api, const ort::KernelInfo* info, void** kernel) {
  const Op& op = op_of(custom_op);
  return guarded(api, op.name, [&] {
    auto node = std::make_unique<Node>();
    node->api = api;
    node->op = &op;
    node->compute = op.make(ort::KernelSetup(api, info), op.variant);
    *kernel = node.release();
  });
}

ort::Status* compute(void* kernel, ort::KernelContext* context) {
  const Node& node = *static_cast<Node*>(kernel);
  return guarded(node.api, node.op->name, [&] {
    node.compute(ort::Invocation(node.api, context, node.op->parallel));
  });
}

ort::ElementType sparse_input_type(const ort::CustomOp* custom_op, size_t index) {
  const OpVariant& variant = op_of(custom_op).variant;
  if (index == 1) return variant.bits ? ort::kUint8 : ort::kUndefined;   // uint8 or uint16; checked with the values
  if (index == 2) return variant.int8 ? ort::kInt8 : ort::kUndefined;    // float or float16
  return ort::kFloat;
}

// What the running ONNX Runtime offers.
struct Host {
  bool parallel = false;  // lends its threads
  bool in_place = false;  // lets a result take the place of an input that nobody reads later
};

// The result of a SparseConvAdd may take the residual's place: each element is read before it is written.
template <bool Int8>
size_t residual_in_place(int** inputs, int** outputs) {
  static int input = static_cast<int>(OpVariant{false, true, Curve::kNone, false, Int8}.residual_index());
  static int output = 0;
  *inputs = &input;
  *outputs = &output;
  return 1;
}

// A result that is computed element by element may take the first input's place.
size_t first_in_place(int** inputs, int** outputs) {
  static int zero = 0;
  *inputs = &zero;
  *outputs = &zero;
  return 1;
}

// What all ops have in common: float in, one float out.
Op make_op(const std::string& name, size_t inputs, decltype(Op::make) make, const Host& host) {
  Op op{};
  set_plain_callbacks(op);
  op.name = name;
  op.inputs = inputs;
  op.make = make;
  op.parallel = host.parallel;
  op.version = host.in_place ? ort::kApiVersionInPlace : ort::kCustomOpVersion;
  op.GetName = [](const ort::CustomOp* o) { return op_of(o).name.c_str(); };
  op.GetInputType = [](const ort::CustomOp*, size_t) { return ort::kFloat; };
  op.GetInputTypeCount = [](const ort::CustomOp* o) { return op_of(o).inputs; };
  op.GetOutputType = [](const ort::CustomOp*, size_t) { return ort::kFloat; };
  op.KernelDestroy = [](void* kernel) { delete static_cast<Node*>(kernel); };
  op.CreateKernelV2 = create_kernel;
  op.KernelComputeV2 = compute;
  return op;
}

using MayInplace = decltype(ort::CustomOp::GetMayInplace);

Op in_place(Op op, MayInplace places) {
  op.GetMayInplace = places;
  op.ReleaseMayInplace = [](int*, int*) {};
  return op;
}

// An op that is not sparse, with an activation.
Op make_curve_op(const std::string& kind, Curve curve, size_t inputs, decltype(Op::make) make, const Host& host) {
  Op op = make_op(kind + kCurveNames[static_cast<int>(curve)], inputs, make, host);
  op.variant.curve = curve;
  return op;
}

// All inputs are declared as one variadic input: ONNX Runtime needs time for each that is declared when a session is made.
Op make_joined_op(size_t parts, const Host& host) {
  Op op = make_curve_op("PlainJoined" + std::to_string(parts) + "BatchNormalization", Curve::kRelu, 1,
                        make_normalization, host);
  op.variant.joined = parts;
  op.GetInputCharacteristic = [](const ort::CustomOp*, size_t) { return ort::kVariadic; };
  return op;
}

Op make_sparse_op(const std::string& kind, const OpVariant& variant, const Host& host) {
  const std::string name = "Sparse" + kind + (variant.add ? "Add" : "") + kCurveNames[static_cast<int>(variant.curve)] +
                           (variant.bits ? "Bits" : "") + (variant.int8 ? "Int8" : "");
  const auto make = variant.gemm         ? make_with_variant<GemmKernel>
                    : variant.transposed ? make_with_variant<TransposedKernel>
                                         : make_with_variant<ConvKernel>;
  Op op = make_op(name, variant.input_count(), make, host);
  op.variant = variant;
  op.GetInputType = sparse_input_type;
  if (!variant.add || variant.gemm) return op;
  return in_place(std::move(op), variant.int8 ? residual_in_place<true> : residual_in_place<false>);
}

std::vector<Op> make_ops(const Host& host) {
  std::vector<Op> ops{make_op(kPool, 1, make_plain<PoolKernel>, host),
                      in_place(make_op(kGate, 2, make_plain<GateKernel>, host), first_in_place)};
  for (size_t parts = 2; parts <= kMostJoined; ++parts) ops.push_back(make_joined_op(parts, host));
  for (int number = 0; number < kCurves; ++number) {
    const auto curve = static_cast<Curve>(number);
    ops.push_back(make_curve_op(kDepthwise, curve, 3, make_depthwise, host));
    ops.push_back(in_place(make_curve_op(kNormalization, curve, 5, make_normalization, host), first_in_place));
    for (unsigned bits = 0; bits < 16; ++bits) {
      const OpVariant variant{(bits & 1) != 0, (bits & 2) != 0, curve, (bits & 4) != 0, (bits & 8) != 0};
      if (!variant.gemm) ops.push_back(make_sparse_op("Conv", variant, host));
      for (const char* kind : kLinearNames) {
        if (variant.gemm) ops.push_back(make_sparse_op(kind, variant, host));
      }
      if (!variant.gemm && !variant.add) {
        OpVariant transposed = variant;
        transposed.transposed = true;
        ops.push_back(make_sparse_op("ConvTranspose", transposed, host));
      }
    }
  }
  return ops;
}

// One domain serves all sessions of the process and lives as long: sessions keep pointers into it.
ort::CustomOpDomain* shared_domain(ort::Api api, const Host& host) {
  static std::mutex mutex;
  static ort::CustomOpDomain* domain = nullptr;
  static std::vector<Op>* ops = nullptr;
  const std::lock_guard<std::mutex> guard(mutex);
  if (domain != nullptr) return domain;
  ops = new std::vector<Op>(make_ops(host));  // NOLINT(cppcoreguidelines-owning-memory): never freed, see above
  ort::CustomOpDomain* fresh = nullptr;
  ort::check(api, ort::CreateCustomOpDomain::of(api)(kDomain, &fresh));
  for (const Op& op : *ops) ort::check(api, ort::CustomOpDomainAdd::of(api)(fresh, &op));
  for (const ort::CustomOp* op : int8_ops(host.parallel)) ort::check(api, ort::CustomOpDomainAdd::of(api)(fresh, op));
  domain = fresh;
  return domain;
}

}  // namespace
}  // namespace n2n

extern "C" __attribute__((visibility("default"))) n2n::ort::Status* RegisterCustomOps(
    n2n::ort::SessionOptions* options, const n2n::ort::ApiBase* base) {
  namespace ort = n2n::ort;
  ort::Api api = base->GetApi(ort::kApiVersion);
  n2n::Host host;
  host.parallel = api != nullptr;
  host.in_place = base->GetApi(ort::kApiVersionInPlace) != nullptr;
  if (!host.parallel) api = base->GetApi(ort::kApiVersionSerial);
  if (api == nullptr) return nullptr;  // without a table there is no way to say so; ONNX Runtime < 1.16
  return n2n::guarded(api, "n2nsurgery", [&] {
    ort::check(api, ort::AddCustomOpDomain::of(api)(options, n2n::shared_domain(api, host)));
  });
}
