// Compiles if and only if native/ort_abi.h says of ONNX Runtime's C ABI what the official header says.
#include <onnxruntime_c_api.h>

#include <cstddef>
#include <type_traits>

#include "ort_abi.h"

namespace {

// Our name of an official type; what has none stays as it is.
template <class T>
struct Ours {
  using type = T;
};
#define N2N_OURS(official, ours) \
  template <>                    \
  struct Ours<official> {        \
    using type = ours;           \
  }
N2N_OURS(OrtStatus, n2n::ort::Status);
N2N_OURS(OrtSessionOptions, n2n::ort::SessionOptions);
N2N_OURS(OrtCustomOpDomain, n2n::ort::CustomOpDomain);
N2N_OURS(OrtKernelInfo, n2n::ort::KernelInfo);
N2N_OURS(OrtKernelContext, n2n::ort::KernelContext);
N2N_OURS(OrtValue, n2n::ort::Value);
N2N_OURS(OrtTypeInfo, n2n::ort::TypeInfo);
N2N_OURS(OrtTensorTypeAndShapeInfo, n2n::ort::TensorTypeAndShapeInfo);
N2N_OURS(OrtCustomOp, n2n::ort::CustomOp);
N2N_OURS(OrtErrorCode, n2n::ort::ErrorCode);
N2N_OURS(ONNXTensorElementDataType, n2n::ort::ElementType);
N2N_OURS(OrtCustomOpInputOutputCharacteristic, n2n::ort::Characteristic);
N2N_OURS(const OrtApi*, n2n::ort::Api);
N2N_OURS(OrtMemType, int);            // always the default, 0
N2N_OURS(OrtShapeInferContext, void);  // never used
#undef N2N_OURS

template <class T>
using OursOf = typename Ours<T>::type;
template <class T>
struct Ours<const T> {
  using type = const OursOf<T>;
};
template <class T>
struct Ours<T*> {
  using type = OursOf<T>*;
};
template <class Result, class... Arguments>
struct Ours<Result(Arguments...)> {
  using type = OursOf<Result>(OursOf<Arguments>...);
};
template <class Result, class... Arguments>
struct Ours<Result(Arguments...) noexcept> {
  using type = OursOf<Result>(OursOf<Arguments>...);
};

template <class Slot>
struct Parts;
template <size_t Number, class Signature>
struct Parts<n2n::ort::Slot<Number, Signature>> {
  static constexpr size_t offset = Number * sizeof(void*);
  using Pointer = Signature*;
};

#define N2N_SLOT(official, ours)                                                                           \
  static_assert(Parts<n2n::ort::ours>::offset == offsetof(OrtApi, official), "slot of " #official);       \
  static_assert(std::is_same_v<Parts<n2n::ort::ours>::Pointer, OursOf<decltype(OrtApi::official)>>, \
                "signature of " #official)
N2N_SLOT(CreateStatus, CreateStatus);
N2N_SLOT(GetErrorMessage, GetErrorMessage);
N2N_SLOT(CreateCustomOpDomain, CreateCustomOpDomain);
N2N_SLOT(CustomOpDomain_Add, CustomOpDomainAdd);
N2N_SLOT(AddCustomOpDomain, AddCustomOpDomain);
N2N_SLOT(GetTensorMutableData, GetTensorMutableData);
N2N_SLOT(CastTypeInfoToTensorInfo, CastTypeInfoToTensorInfo);
N2N_SLOT(GetTensorElementType, GetTensorElementType);
N2N_SLOT(GetDimensionsCount, GetDimensionsCount);
N2N_SLOT(GetDimensions, GetDimensions);
N2N_SLOT(GetTensorTypeAndShape, GetTensorTypeAndShape);
N2N_SLOT(KernelInfoGetAttribute_float, KernelInfoGetAttributeFloat);
N2N_SLOT(KernelInfoGetAttribute_int64, KernelInfoGetAttributeInt);
N2N_SLOT(KernelContext_GetInput, KernelContextGetInput);
N2N_SLOT(KernelContext_GetOutput, KernelContextGetOutput);
N2N_SLOT(ReleaseStatus, ReleaseStatus);
N2N_SLOT(ReleaseTypeInfo, ReleaseTypeInfo);
N2N_SLOT(ReleaseTensorTypeAndShapeInfo, ReleaseTensorTypeAndShapeInfo);
N2N_SLOT(ReleaseCustomOpDomain, ReleaseCustomOpDomain);
N2N_SLOT(KernelInfoGetAttributeArray_int64, KernelInfoGetAttributeInts);
N2N_SLOT(KernelInfo_GetInputCount, KernelInfoGetInputCount);
N2N_SLOT(KernelInfo_GetInputTypeInfo, KernelInfoGetInputTypeInfo);
N2N_SLOT(KernelInfoGetConstantInput_tensor, KernelInfoGetConstantInput);
N2N_SLOT(KernelContext_ParallelFor, KernelContextParallelFor);
#undef N2N_SLOT

#define N2N_CALLBACK(name)                                                                       \
  static_assert(offsetof(n2n::ort::CustomOp, name) == offsetof(OrtCustomOp, name), "place of " #name); \
  static_assert(std::is_same_v<decltype(n2n::ort::CustomOp::name), OursOf<decltype(OrtCustomOp::name)>>, \
                "type of " #name)
N2N_CALLBACK(version);
N2N_CALLBACK(CreateKernel);
N2N_CALLBACK(GetName);
N2N_CALLBACK(GetExecutionProviderType);
N2N_CALLBACK(GetInputType);
N2N_CALLBACK(GetInputTypeCount);
N2N_CALLBACK(GetOutputType);
N2N_CALLBACK(GetOutputTypeCount);
N2N_CALLBACK(KernelCompute);
N2N_CALLBACK(KernelDestroy);
N2N_CALLBACK(GetInputCharacteristic);
N2N_CALLBACK(GetOutputCharacteristic);
N2N_CALLBACK(GetInputMemoryType);
N2N_CALLBACK(GetVariadicInputMinArity);
N2N_CALLBACK(GetVariadicInputHomogeneity);
N2N_CALLBACK(GetVariadicOutputMinArity);
N2N_CALLBACK(GetVariadicOutputHomogeneity);
N2N_CALLBACK(CreateKernelV2);
N2N_CALLBACK(KernelComputeV2);
N2N_CALLBACK(InferOutputShapeFn);
N2N_CALLBACK(GetStartVersion);
N2N_CALLBACK(GetEndVersion);
N2N_CALLBACK(GetMayInplace);
N2N_CALLBACK(ReleaseMayInplace);
N2N_CALLBACK(GetAliasMap);
N2N_CALLBACK(ReleaseAliasMap);
#undef N2N_CALLBACK

static_assert(offsetof(n2n::ort::ApiBase, GetApi) == offsetof(OrtApiBase, GetApi), "GetApi");
static_assert(offsetof(n2n::ort::ApiBase, GetVersionString) == offsetof(OrtApiBase, GetVersionString), "its neighbour");
static_assert(std::is_same_v<decltype(n2n::ort::ApiBase::GetApi), OursOf<decltype(OrtApiBase::GetApi)>>, "GetApi");

static_assert(int{n2n::ort::kFail} == int{ORT_FAIL} && int{n2n::ort::kInvalidArgument} == int{ORT_INVALID_ARGUMENT},
              "error codes");
static_assert(int{n2n::ort::kUndefined} == int{ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED}, "undefined");
static_assert(int{n2n::ort::kFloat} == int{ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT}, "float");
static_assert(int{n2n::ort::kUint8} == int{ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8}, "uint8");
static_assert(int{n2n::ort::kInt8} == int{ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8}, "int8");
static_assert(int{n2n::ort::kUint16} == int{ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16}, "uint16");
static_assert(int{n2n::ort::kInt32} == int{ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32}, "int32");
static_assert(int{n2n::ort::kFloat16} == int{ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16}, "float16");
static_assert(int{n2n::ort::kRequired} == int{INPUT_OUTPUT_REQUIRED}, "required");
static_assert(int{n2n::ort::kOptional} == int{INPUT_OUTPUT_OPTIONAL}, "optional");
static_assert(int{OrtMemTypeDefault} == 0, "the CPU's memory");
static_assert(n2n::ort::kApiVersion <= ORT_API_VERSION && n2n::ort::kApiVersionInPlace <= ORT_API_VERSION, "version");

}  // namespace
