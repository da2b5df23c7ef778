#include "scale_kernel.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>
#include <string>

#include "error.h"
#include "processor.h"
#include "rounding.h"

namespace n2n {
namespace {

constexpr int64_t kWorthThreads = 100'000;  // results: about ten microseconds
constexpr int64_t kTaskResults = 16'000;
constexpr std::array<const char*, 4> kParameters = {"scale", "B", "mean", "var"};

using Parameters = std::array<ort::TensorView, 4>;

// Batch normalization with fixed statistics, as one line for each channel.
ChannelLine line_of(const Parameters& parameters, float epsilon) {
  for (size_t i = 0; i < parameters.size(); ++i) {
    require(parameters[i].type == ort::kFloat && parameters[i].shape.size() == 1 &&
                parameters[i].shape == parameters[0].shape,
            std::string(kParameters[i]) + " must be a float tensor with one element for each channel");
  }
  const auto channels = static_cast<size_t>(parameters[0].size());
  ChannelLine line{std::vector<float>(channels), std::vector<float>(channels)};
  for (size_t c = 0; c < channels; ++c) {
    const double factor = parameters[0].floats()[c] / std::sqrt(double{parameters[3].floats()[c]} + double{epsilon});
    line.factor[c] = static_cast<float>(factor);
    line.summand[c] = static_cast<float>(parameters[1].floats()[c] - parameters[2].floats()[c] * factor);
  }
  return line;
}

// Of a channel.
int64_t pixels_of(const std::vector<int64_t>& shape) {
  require(shape.size() >= 2, "X must have at least two dimensions");
  return std::accumulate(shape.begin() + 2, shape.end(), int64_t{1}, std::multiplies<>());
}

// Several tensors as one, one after the other along the channels.
struct Joined {
  struct Part {
    const float* x;
    int64_t channels;
    int64_t end;  // behind its last channel of all
  };
  std::vector<Part> parts;
  std::vector<int64_t> shape;

  void append(const ort::TensorView& x) {
    std::vector<int64_t> beside = x.shape;
    require(beside.size() >= 2, "X must have at least two dimensions");
    if (shape.empty()) {
      shape = beside;
      shape[1] = 0;
    }
    const int64_t channels = beside[1];
    beside[1] = shape[1];
    require(beside == shape, "the inputs that are joined differ in more than their channels");
    shape[1] += channels;
    parts.push_back({x.floats(), channels, shape[1]});
  }

  // The part that holds this channel.
  const Part& at(int64_t channel) const {
    return *std::find_if(parts.begin(), parts.end(), [channel](const Part& part) { return channel < part.end; });
  }
};

// Calls body(first, count) for stretches of `planes` planes of so many pixels.
template <class Body>
void run_planes(const ort::Invocation& invocation, int64_t planes, int64_t pixels, ThreadCount& threads,
                const Body& body) {
  if (planes == 0 || pixels == 0) return;
  const int64_t per_task = std::max<int64_t>(1, kTaskResults / pixels);
  const int64_t tasks = ceil_div(planes, per_task);
  run_tasks(invocation, {0, tasks}, planes * pixels >= kWorthThreads, threads, [&](int64_t task) {
    body(task * per_task, std::min(planes - task * per_task, per_task));
  });
}

}  // namespace

NormalizationKernel::NormalizationKernel(const ort::KernelSetup& setup, Curve curve, size_t parts)
    : parts_(parts),
      activation_(read_activation(setup, curve)),
      epsilon_(setup.number("epsilon")),
      kernels_(select_kernels()) {
  require(setup.input_count() == parts + kParameters.size(),
          "needs " + std::to_string(parts) + " times X, and scale, B, mean and var");
  Parameters parameters;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const std::optional<ort::TensorView> constant = setup.constant_if_any(parts_ + i);
    if (!constant) return;
    parameters[i] = *constant;
  }
  line_ = line_of(parameters, epsilon_);
}

void NormalizationKernel::compute(const ort::Invocation& invocation) {
  Joined joined;
  for (size_t i = 0; i < parts_; ++i) joined.append(invocation.input(i, "X"));
  const std::vector<int64_t>& shape = joined.shape;
  const int64_t channels = shape[1];
  const int64_t size = pixels_of(shape);
  ChannelLine own;
  if (!line_) {
    Parameters parameters;
    for (size_t i = 0; i < parameters.size(); ++i) parameters[i] = invocation.input(parts_ + i, kParameters[i]);
    own = line_of(parameters, epsilon_);
  }
  const ChannelLine& line = line_ ? *line_ : own;
  require(static_cast<int64_t>(line.factor.size()) == channels,
          "X has " + std::to_string(channels) + " channels, scale has " + std::to_string(line.factor.size()));
  float* y = invocation.output(shape);
  run_planes(invocation, shape[0] * channels, size, threads_, [&](int64_t first, int64_t count) {
    while (count > 0) {
      const int64_t channel = first % channels;
      const Joined::Part& part = joined.at(channel);
      const int64_t together = std::min(count, part.end - channel);
      const int64_t plane = (first / channels + 1) * part.channels + channel - part.end;
      kernels_.scale({part.x + plane * size, y + first * size, line.factor.data() + channel,
                      line.summand.data() + channel, together, size, activation_});
      first += together;
      count -= together;
    }
  });
}

GateKernel::GateKernel(const ort::KernelSetup&) : kernels_(select_kernels()) {}

void GateKernel::compute(const ort::Invocation& invocation) {
  const ort::TensorView x = invocation.input(0, "X");
  const ort::TensorView gate = invocation.input(1, "gate");
  const int64_t size = pixels_of(x.shape);
  std::vector<int64_t> expected(x.shape.size(), 1);
  std::copy_n(x.shape.begin(), 2, expected.begin());
  require(gate.shape == expected, "gate must have X's images and channels and extent 1 elsewhere");
  float* y = invocation.output(x.shape);
  run_planes(invocation, gate.size(), size, threads_, [&](int64_t first, int64_t count) {
    kernels_.scale({x.floats() + first * size, y + first * size, gate.floats() + first, nullptr, count, size, {}});
  });
}

}  // namespace n2n
