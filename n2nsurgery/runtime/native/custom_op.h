// What all operators' callbacks have in common.
#pragma once

#include <exception>
#include <string>

#include "error.h"
#include "ort_abi.h"

namespace n2n {

// Runs a callback's body; an exception becomes a status.
template <class Body>
ort::Status* guarded(ort::Api api, const std::string& what, const Body& body) {
  try {
    body();
    return nullptr;
  } catch (const Error& error) {
    return ort::CreateStatus::of(api)(ort::kInvalidArgument, (what + ": " + error.what()).c_str());
  } catch (const std::exception& error) {
    return ort::CreateStatus::of(api)(ort::kFail, (what + ": " + error.what()).c_str());
  } catch (...) {
    return ort::CreateStatus::of(api)(ort::kFail, (what + ": unknown failure").c_str());
  }
}

// Inputs and one output, all required and in the CPU's memory.
inline void set_plain_callbacks(ort::CustomOp& op) {
  op.GetExecutionProviderType = [](const ort::CustomOp*) -> const char* { return "CPUExecutionProvider"; };
  op.GetOutputTypeCount = [](const ort::CustomOp*) -> size_t { return 1; };
  op.GetInputCharacteristic = [](const ort::CustomOp*, size_t) { return ort::kRequired; };
  op.GetOutputCharacteristic = [](const ort::CustomOp*, size_t) { return ort::kRequired; };
  op.GetInputMemoryType = [](const ort::CustomOp*, size_t) { return 0; };
  op.GetVariadicInputMinArity = [](const ort::CustomOp*) { return 1; };
  op.GetVariadicInputHomogeneity = [](const ort::CustomOp*) { return 1; };
  op.GetVariadicOutputMinArity = [](const ort::CustomOp*) { return 1; };
  op.GetVariadicOutputHomogeneity = [](const ort::CustomOp*) { return 1; };
}

}  // namespace n2n
