#include "pool_kernel.h"

#include <algorithm>
#include <string>

#include "error.h"
#include "processor.h"
#include "rounding.h"

namespace n2n {
namespace {

constexpr int64_t kWorthThreads = 50'000;  // results: about ten microseconds
constexpr int64_t kTaskResults = 8'000;
constexpr int64_t kMaxTaps = int64_t{1} << 20;

}  // namespace

ConvAttributes parse_pool_attributes(const std::vector<int64_t>& kernel, const std::vector<int64_t>& strides,
                                     const std::vector<int64_t>& pads) {
  require(kernel.size() == 2, "kernel_shape must have 2 elements, height and width");
  for (const int64_t extent : kernel) {
    require(extent >= 1 && extent <= kMaxTaps, "kernel_shape has an extent of " + std::to_string(extent) +
                                                   ", allowed are 1 to " + std::to_string(kMaxTaps));
  }
  const ConvAttributes window = parse_conv_attributes({1, 1, kernel[0], kernel[1]}, strides, pads, {}, 1);
  for (size_t axis = 1; axis < 3; ++axis) {
    require(std::max(window.pad_begin[axis], window.pad_end[axis]) < window.kernel[axis],
            "pads must be smaller than kernel_shape");
  }
  return window;
}

void run_pool(const ConvProblem& problem, const Kernels& kernels, const float* x, float* y, int64_t first,
              int64_t last) {
  PoolJob job;
  job.height = problem.input[1];
  job.width = problem.input[2];
  job.output_height = problem.output[1];
  job.output_width = problem.output[2];
  job.kernel_height = problem.kernel[1];
  job.kernel_width = problem.kernel[2];
  job.row_stride = problem.stride[1];
  job.column_stride = problem.stride[2];
  job.pad_top = problem.pad[1];
  job.pad_left = problem.pad[2];
  job.planes = last - first;
  job.x = x + first * problem.input_pixels();
  job.y = y + first * problem.output_pixels();
  kernels.max_pool(job);
}

PoolKernel::PoolKernel(const ort::KernelSetup& setup)
    : attributes_(parse_pool_attributes(setup.integers("kernel_shape"), setup.integers("strides"),
                                        setup.integers("pads"))),
      kernels_(select_kernels()) {}

void PoolKernel::compute(const ort::Invocation& invocation) {
  const ort::TensorView x = invocation.input(0, "X");
  require(x.shape.size() == 4, "X has " + std::to_string(x.shape.size()) + " dimensions, not 4");
  const std::vector<int64_t> planes{x.shape[0] * x.shape[1], 1, x.shape[2], x.shape[3]};
  const ConvProblem problem = make_problem(attributes_, planes);
  std::vector<int64_t> shape = output_shape(attributes_, planes);
  shape[0] = x.shape[0];
  shape[1] = x.shape[1];
  float* y = invocation.output(shape);
  const int64_t results = problem.output_pixels();
  const int64_t per_task = std::max<int64_t>(1, kTaskResults / results);
  const int64_t tasks = ceil_div(problem.batch, per_task);
  run_tasks(invocation, {0, tasks}, results * problem.batch >= kWorthThreads, threads_, [&](int64_t task) {
    run_pool(problem, kernels_, x.floats(), y, task * per_task, std::min(problem.batch, (task + 1) * per_task));
  });
}

}  // namespace n2n
