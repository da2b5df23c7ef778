#include "gemm_kernel.h"

#include <algorithm>
#include <string>

#include "executor.h"
#include "expected_input.h"
#include "processor.h"

namespace n2n {
namespace {

constexpr int64_t kWorthThreads = 200'000;  // multiply-adds: about ten microseconds
constexpr int64_t kFewRows = 3;             // fewer rows than this are computed one by one
constexpr int64_t kRowChunks = 16;          // pieces of one row, for the threads to share

WeightShape parse_weight_shape(const ort::KernelSetup& setup) {
  const std::vector<int64_t> shape = setup.integers("weight_shape");
  require(shape.size() == 2, "weight_shape must have 2 elements, outputs and inputs");
  return {shape[0], shape[1], 1};
}

}  // namespace

GemmKernel::GemmKernel(const ort::KernelSetup& setup, const OpVariant& variant)
    : variant_(variant),
      input_(read_sparse_input(setup, variant, parse_weight_shape(setup))),
      blocks_(input_.weights, 1),
      kernels_(select_kernels()),
      short_inputs_(input_.weights) {
  const std::optional<int64_t> rows = expected_rows(input_.weights.shape, setup.claimed_shape(0));
  if (rows && *rows >= kFewRows) prepare_scratch(*whole_plan(gemm_problem(input_.weights.shape, *rows)));
}

std::shared_ptr<const Plan> GemmKernel::whole_plan(const ConvProblem& problem) {
  return plans_.find(problem.input, 1, [&] {
    const Tiling tiling = choose_packed_tiling({problem, input_.weights.nnz(), blocks_.share()}, kernels_);
    return make_plan(input_.weights, blocks_, problem, kernels_, 1, &tiling);
  });
}

void GemmKernel::compute(const ort::Invocation& invocation) {
  const ort::TensorView x = invocation.input(0, "X");
  const WeightShape& weight = input_.weights.shape;
  require(x.shape.size() >= 2, "X must have at least two dimensions");
  require(x.shape.back() == weight.inputs, "X's last dimension is " + std::to_string(x.shape.back()) +
                                               ", the weight has " + std::to_string(weight.inputs) + " inputs");
  std::vector<int64_t> shape = x.shape;
  shape.back() = weight.outputs;
  GemmTensors tensors;
  tensors.x = x.floats();
  tensors.bias = input_.bias.data();
  tensors.relu = variant_.relu;
  if (variant_.add) {
    const ort::TensorView residual = invocation.input(variant_.residual_index(), "residual");
    require(residual.shape == shape, "residual does not have the output's shape");
    tensors.residual = residual.floats();
  }
  tensors.y = invocation.output(shape);
  const int64_t rows = x.size() / weight.inputs;
  if (rows == 0) return;
  const bool large = input_.weights.nnz() * rows >= kWorthThreads;
  if (rows < kFewRows) {
    const int64_t chunks = large ? std::min(kRowChunks, weight.outputs) : 1;
    run_tasks(invocation, rows * chunks, large, threads_, [&](int64_t task) {
      const int64_t chunk = task % chunks;
      run_gemm_row(input_.weights, short_inputs_, tensors, task / chunks, weight.outputs * chunk / chunks,
                   weight.outputs * (chunk + 1) / chunks);
    });
    return;
  }
  const ConvProblem problem = gemm_problem(weight, rows);
  const std::shared_ptr<const Plan> whole = whole_plan(problem);
  const int64_t chunks = chunks_for(whole->tasks(1), weight.outputs, threads_);
  const std::shared_ptr<const Plan> plan = chunks == 1 ? whole : plans_.find(problem.input, chunks, [&] {
    return make_plan(input_.weights, blocks_, problem, kernels_, chunks, &whole->tiling);
  });
  run_tasks(invocation, plan->tasks(1), large, threads_,
            [&](int64_t task) { run_gemm_task(*plan, kernels_, tensors, task); });
}

}  // namespace n2n
