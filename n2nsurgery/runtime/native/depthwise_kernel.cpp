#include "depthwise_kernel.h"

#include <algorithm>
#include <string>

#include "error.h"
#include "expected_input.h"
#include "processor.h"
#include "rounding.h"
#include "sparse_input.h"
#include "tiles.h"

namespace n2n {
namespace {

constexpr int64_t kTaskWork = 100'000;

}  // namespace

DepthwiseKernel::DepthwiseKernel(const ort::KernelSetup& setup, Curve curve)
    : attributes_(parse_depthwise_attributes(setup.integers("kernel_shape"), setup.integers("strides"),
                                             setup.integers("pads"), setup.integers("dilations"),
                                             setup.integer("group", 1))),
      activation_(read_activation(setup, curve)),
      kernels_(select_kernels()) {
  const std::optional<ort::TensorView> weights = setup.constant_if_any(1);
  if (weights) taps_ = taps_of(*weights);
  const std::optional<ConvProblem> expected = expected_problem(attributes_, setup.claimed_shape(0));
  if (expected) prepare_scratch(*plan_for(*expected));
}

TapList DepthwiseKernel::taps_of(const ort::TensorView& weights) const {
  const std::vector<int64_t> shape{attributes_.groups, 1, attributes_.kernel[1], attributes_.kernel[2]};
  require(weights.type == ort::kFloat && weights.shape == shape,
          "W must be a float tensor of (" + std::to_string(shape[0]) + ", 1, " + std::to_string(shape[2]) + ", " +
              std::to_string(shape[3]) + ")");
  return list_taps(weights.floats(), shape[0], shape[2] * shape[3]);
}

std::shared_ptr<const Plan> DepthwiseKernel::plan_for(const ConvProblem& problem) {
  return plans_.find({problem.input, 1}, [&] { return make_depthwise_plan(problem, kernels_); });
}

void DepthwiseKernel::compute(const ort::Invocation& invocation) {
  const ort::TensorView x = invocation.input(0, "X");
  const ort::TensorView bias = invocation.input(2, "bias");
  const ConvProblem problem = make_problem(attributes_, x.shape);
  require(bias.shape == std::vector<int64_t>{problem.groups},
          "bias must have " + std::to_string(problem.groups) + " elements");
  TapList own;
  if (!taps_) own = taps_of(invocation.input(1, "W"));
  DepthwiseTensors tensors;
  tensors.x = x.floats();
  tensors.taps = taps_ ? &*taps_ : &own;
  tensors.bias = bias.floats();
  tensors.y = invocation.output(output_shape(attributes_, x.shape));
  tensors.activation = activation_;
  const std::shared_ptr<const Plan> plan = plan_for(problem);
  const int64_t channels = problem.batch * problem.groups;
  const int64_t work = problem.output_pixels() * attributes_.weight_shape().taps;
  const int64_t per_task = std::max<int64_t>(1, kTaskWork / work);
  const int64_t tasks = ceil_div(channels, per_task);
  run_tasks(invocation, {0, tasks}, work * channels >= kWorthProducts, threads_, [&](int64_t task) {
    run_depthwise(*plan, kernels_, tensors, task * per_task, std::min(channels, (task + 1) * per_task));
  });
}

}  // namespace n2n
