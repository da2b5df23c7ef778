// The custom-op library: the operators of domain `n2nsurgery`, version 1, and the entry point that ONNX Runtime calls.
#include <memory>
#include <mutex>
#include <string>
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
constexpr const char* kGate = "PlainGate";
// One kernel; a file's functions of these names are written with other standard operators.
constexpr const char* kLinearNames[] = {"Gemm", "Linear", "MatMul"};
constexpr const char* kCurveNames[kCurves] = {"",          "Relu", "Clip", "LeakyRelu",
                                              "HardSwish", "Silu", "Gelu", "TanhGelu"};

struct Op : ort::CustomOp {
  OpVariant variant;  // of a sparse op
  bool pool = false;       // PlainMaxPool
  bool depthwise = false;  // PlainDepthwiseConv, of which the variant's curve counts
  bool normalization = false;  // PlainBatchNormalization, likewise
  bool gate = false;           // PlainGate
  std::string name;
  bool parallel = false;  // the running ONNX Runtime lends its threads
};

// A kernel and what its callbacks need besides.
struct Node {
  ort::Api api = nullptr;
  const Op* op = nullptr;  // never freed
  std::unique_ptr<ConvKernel> conv;
  std::unique_ptr<GemmKernel> gemm;
  std::unique_ptr<PoolKernel> pool;
  std::unique_ptr<DepthwiseKernel> depthwise;
  std::unique_ptr<TransposedKernel> transposed;
  std::unique_ptr<NormalizationKernel> normalization;
  std::unique_ptr<GateKernel> gate;
};

const Op& op_of(const ort::CustomOp* op) { return *static_cast<const Op*>(op); }

ort::Status* create_kernel(const ort::CustomOp* custom_op, ort::Api api, const ort::KernelInfo* info, void** kernel) {
  const Op& op = op_of(custom_op);
  return guarded(api, op.name, [&] {
    const ort::KernelSetup setup(api, info);
    auto node = std::make_unique<Node>();
    node->api = api;
    node->op = &op;
    if (op.pool) {
      node->pool = std::make_unique<PoolKernel>(setup);
    } else if (op.depthwise) {
      node->depthwise = std::make_unique<DepthwiseKernel>(setup, op.variant.curve);
    } else if (op.normalization) {
      node->normalization = std::make_unique<NormalizationKernel>(setup, op.variant.curve);
    } else if (op.gate) {
      node->gate = std::make_unique<GateKernel>(setup);
    } else if (op.variant.gemm) {
      node->gemm = std::make_unique<GemmKernel>(setup, op.variant);
    } else if (op.variant.transposed) {
      node->transposed = std::make_unique<TransposedKernel>(setup, op.variant);
    } else {
      node->conv = std::make_unique<ConvKernel>(setup, op.variant);
    }
    *kernel = node.release();
  });
}

ort::Status* compute(void* kernel, ort::KernelContext* context) {
  const Node& node = *static_cast<Node*>(kernel);
  return guarded(node.api, node.op->name, [&] {
    const ort::Invocation invocation(node.api, context, node.op->parallel);
    if (node.pool) {
      node.pool->compute(invocation);
    } else if (node.depthwise) {
      node.depthwise->compute(invocation);
    } else if (node.normalization) {
      node.normalization->compute(invocation);
    } else if (node.gate) {
      node.gate->compute(invocation);
    } else if (node.gemm) {
      node.gemm->compute(invocation);
    } else if (node.transposed) {
      node.transposed->compute(invocation);
    } else {
      node.conv->compute(invocation);
    }
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
Op make_op(const std::string& name, const Host& host) {
  Op op{};
  set_plain_callbacks(op);
  op.name = name;
  op.parallel = host.parallel;
  op.version = host.in_place ? ort::kApiVersionInPlace : ort::kCustomOpVersion;
  op.GetName = [](const ort::CustomOp* o) { return op_of(o).name.c_str(); };
  op.GetInputType = [](const ort::CustomOp*, size_t) { return ort::kFloat; };
  op.GetInputTypeCount = [](const ort::CustomOp*) -> size_t { return 1; };
  op.GetOutputType = [](const ort::CustomOp*, size_t) { return ort::kFloat; };
  op.KernelDestroy = [](void* kernel) { delete static_cast<Node*>(kernel); };
  op.CreateKernelV2 = create_kernel;
  op.KernelComputeV2 = compute;
  return op;
}

Op make_sparse_op(const std::string& kind, const OpVariant& variant, const Host& host) {
  Op op = make_op("Sparse" + kind + (variant.add ? "Add" : "") +
                      kCurveNames[static_cast<int>(variant.curve)] + (variant.bits ? "Bits" : "") + (variant.int8 ? "Int8" : ""),
                  host);
  op.variant = variant;
  if (variant.add && !variant.gemm) {
    op.GetMayInplace = variant.int8 ? residual_in_place<true> : residual_in_place<false>;
    op.ReleaseMayInplace = [](int*, int*) {};
  }
  op.GetInputType = sparse_input_type;
  op.GetInputTypeCount = [](const ort::CustomOp* o) { return op_of(o).variant.input_count(); };
  return op;
}

// PlainGate, or PlainBatchNormalization with an activation.
Op make_scaling_op(const std::string& kind, Curve curve, const Host& host) {
  Op op = make_op(kind + kCurveNames[static_cast<int>(curve)], host);
  op.gate = kind == kGate;
  op.normalization = kind == kNormalization;
  op.variant.curve = curve;
  op.GetMayInplace = first_in_place;
  op.ReleaseMayInplace = [](int*, int*) {};
  op.GetInputTypeCount = [](const ort::CustomOp* o) -> size_t { return op_of(o).gate ? 2 : 5; };
  return op;
}

std::vector<Op> make_ops(const Host& host) {
  std::vector<Op> ops{make_op(kPool, host), make_scaling_op(kGate, Curve::kNone, host)};
  ops.front().pool = true;
  for (int curve = 0; curve < kCurves; ++curve) {
    ops.push_back(make_op(std::string(kDepthwise) + kCurveNames[curve], host));
    ops.back().depthwise = true;
    ops.back().variant.curve = static_cast<Curve>(curve);
    ops.back().GetInputTypeCount = [](const ort::CustomOp*) -> size_t { return 3; };
    ops.push_back(make_scaling_op(kNormalization, static_cast<Curve>(curve), host));
    for (unsigned bits = 0; bits < 16; ++bits) {
      const OpVariant variant{(bits & 1) != 0, (bits & 2) != 0, static_cast<Curve>(curve), (bits & 4) != 0,
                              (bits & 8) != 0};
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
