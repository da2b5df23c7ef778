#include "conv_shape.h"

#include <cstring>
#include <string>

#include "../error.h"

namespace n2n::training {
namespace {

constexpr int64_t kMostOfAnAxis = int64_t{1} << 24;
constexpr int64_t kMostElements = int64_t{1} << 40;

void in_range(int64_t value, int64_t least, int64_t most, const char* name) {
  require(value >= least && value <= most, std::string(name) + " is " + std::to_string(value) + "; it must lie in [" +
                                               std::to_string(least) + ", " + std::to_string(most) + "]");
}

void countable(const Axes& axes, int64_t channels, int64_t batch, const char* name) {
  int64_t elements = channels;
  for (const int64_t factor : {axes[0], axes[1], axes[2], batch > 0 ? batch : 1}) {
    require(elements <= kMostElements / factor, std::string("the ") + name + " has too many elements");
    elements *= factor;
  }
}

}  // namespace

bool ConvShape::operator==(const ConvShape& other) const { return std::memcmp(this, &other, sizeof(*this)) == 0; }

void validate(const ConvShape& shape) {
  in_range(shape.batch, 0, kMostOfAnAxis, "the batch");
  in_range(shape.inputs, 1, kMostOfAnAxis, "the number of input channels");
  in_range(shape.outputs, 1, kMostOfAnAxis, "the number of output channels");
  in_range(shape.groups, 1, shape.inputs, "the number of groups");
  require(shape.inputs % shape.groups == 0 && shape.outputs % shape.groups == 0,
          "the channels are not a multiple of the groups");
  for (size_t axis = 0; axis < 3; ++axis) {
    in_range(shape.input[axis], 1, kMostOfAnAxis, "a size of the input");
    in_range(shape.output[axis], 1, kMostOfAnAxis, "a size of the output");
    in_range(shape.kernel[axis], 1, 1 << 12, "a size of the kernel");
    in_range(shape.stride[axis], 1, 1 << 12, "a stride");
    in_range(shape.dilation[axis], 1, 1 << 12, "a dilation");
    in_range(shape.pad[axis], 0, kMostOfAnAxis, "a padding");
  }
  require(shape.taps() <= 1 << 20, "the kernel has too many taps");
  countable(shape.input, shape.inputs, shape.batch, "input");
  countable(shape.output, shape.outputs, shape.batch, "output");
}

}  // namespace n2n::training
