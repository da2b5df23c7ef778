// ONNX Runtime's stable C ABI, as far as this library uses it.
//
// OrtApi is an append-only table of function pointers: a slot never changes once released, so a slot number and a
// signature are all that is needed, and one binary loads in every release since API version 17.
#pragma once

#include <cstddef>
#include <cstdint>

namespace n2n::ort {

struct Status;
struct SessionOptions;
struct CustomOpDomain;
struct KernelInfo;
struct KernelContext;
struct Value;
struct TypeInfo;
struct TensorTypeAndShapeInfo;

using Api = const void* const*;  // the table

struct ApiBase {
  Api (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};

constexpr uint32_t kApiVersion = 17;          // first with KernelContext_ParallelFor
constexpr uint32_t kApiVersionSerial = 16;    // first with CreateKernelV2 / KernelComputeV2
constexpr uint32_t kApiVersionInPlace = 18;   // first that asks for results in place
constexpr uint32_t kCustomOpVersion = 16;     // layout of CustomOp below, up to KernelComputeV2

enum ErrorCode : int { kFail = 1, kInvalidArgument = 2 };

enum ElementType : int { kUndefined = 0, kFloat = 1, kUint8 = 2, kInt8 = 3, kUint16 = 4, kInt32 = 6, kFloat16 = 10 };

enum Characteristic : int { kRequired = 0, kOptional = 1, kVariadic = 2 };

// A slot of OrtApi: its number and its signature.
template <size_t Number, class Signature>
struct Slot {
  static Signature* of(Api api) { return reinterpret_cast<Signature*>(const_cast<void*>(api[Number])); }
};

using CreateStatus = Slot<0, Status*(ErrorCode, const char*)>;
using GetErrorMessage = Slot<2, const char*(const Status*)>;
using CreateCustomOpDomain = Slot<26, Status*(const char*, CustomOpDomain**)>;
using CustomOpDomainAdd = Slot<27, Status*(CustomOpDomain*, const struct CustomOp*)>;
using AddCustomOpDomain = Slot<28, Status*(SessionOptions*, CustomOpDomain*)>;
using GetTensorMutableData = Slot<51, Status*(Value*, void**)>;
using CastTypeInfoToTensorInfo = Slot<55, Status*(const TypeInfo*, const TensorTypeAndShapeInfo**)>;
using GetTensorElementType = Slot<60, Status*(const TensorTypeAndShapeInfo*, ElementType*)>;
using GetDimensionsCount = Slot<61, Status*(const TensorTypeAndShapeInfo*, size_t*)>;
using GetDimensions = Slot<62, Status*(const TensorTypeAndShapeInfo*, int64_t*, size_t)>;
using GetTensorTypeAndShape = Slot<65, Status*(const Value*, TensorTypeAndShapeInfo**)>;
using KernelInfoGetAttributeFloat = Slot<85, Status*(const KernelInfo*, const char*, float*)>;
using KernelInfoGetAttributeInt = Slot<86, Status*(const KernelInfo*, const char*, int64_t*)>;
using KernelContextGetInput = Slot<90, Status*(const KernelContext*, size_t, const Value**)>;
using KernelContextGetOutput = Slot<91, Status*(KernelContext*, size_t, const int64_t*, size_t, Value**)>;
using ReleaseStatus = Slot<93, void(Status*)>;
using ReleaseTypeInfo = Slot<98, void(TypeInfo*)>;
using ReleaseTensorTypeAndShapeInfo = Slot<99, void(TensorTypeAndShapeInfo*)>;
using ReleaseCustomOpDomain = Slot<101, void(CustomOpDomain*)>;
using KernelInfoGetAttributeInts = Slot<163, Status*(const KernelInfo*, const char*, int64_t*, size_t*)>;
using KernelInfoGetInputCount = Slot<230, Status*(const KernelInfo*, size_t*)>;
using KernelInfoGetInputTypeInfo = Slot<234, Status*(const KernelInfo*, size_t, TypeInfo**)>;
using KernelInfoGetConstantInput = Slot<249, Status*(const KernelInfo*, size_t, int*, const Value**)>;
using KernelContextParallelFor =
    Slot<274, Status*(const KernelContext*, void (*)(void*, size_t), size_t, size_t, void*)>;

// OrtCustomOp as of API version 16. With the V2 callbacks present, the first CreateKernel and KernelCompute are unused.
struct CustomOp {
  uint32_t version;
  void* (*CreateKernel)(const CustomOp*, Api, const KernelInfo*);
  const char* (*GetName)(const CustomOp*);
  const char* (*GetExecutionProviderType)(const CustomOp*);
  ElementType (*GetInputType)(const CustomOp*, size_t);
  size_t (*GetInputTypeCount)(const CustomOp*);
  ElementType (*GetOutputType)(const CustomOp*, size_t);
  size_t (*GetOutputTypeCount)(const CustomOp*);
  void (*KernelCompute)(void*, KernelContext*);
  void (*KernelDestroy)(void*);
  Characteristic (*GetInputCharacteristic)(const CustomOp*, size_t);
  Characteristic (*GetOutputCharacteristic)(const CustomOp*, size_t);
  int (*GetInputMemoryType)(const CustomOp*, size_t);
  int (*GetVariadicInputMinArity)(const CustomOp*);
  int (*GetVariadicInputHomogeneity)(const CustomOp*);
  int (*GetVariadicOutputMinArity)(const CustomOp*);
  int (*GetVariadicOutputHomogeneity)(const CustomOp*);
  Status* (*CreateKernelV2)(const CustomOp*, Api, const KernelInfo*, void**);
  Status* (*KernelComputeV2)(void*, KernelContext*);
  // As of API version 18; null where unused.
  Status* (*InferOutputShapeFn)(const CustomOp*, void*);
  int (*GetStartVersion)(const CustomOp*);
  int (*GetEndVersion)(const CustomOp*);
  size_t (*GetMayInplace)(int** inputs, int** outputs);
  void (*ReleaseMayInplace)(int* inputs, int* outputs);
  size_t (*GetAliasMap)(int** inputs, int** outputs);
  void (*ReleaseAliasMap)(int* inputs, int* outputs);
};

}  // namespace n2n::ort
