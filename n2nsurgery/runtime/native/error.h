// The one exception type of the library. It never leaves it: the ONNX Runtime callbacks turn it into an OrtStatus.
#pragma once

#include <stdexcept>
#include <string>

namespace n2n {

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

inline void require(bool condition, const std::string& message) {
  if (!condition) throw Error(message);
}

}  // namespace n2n
