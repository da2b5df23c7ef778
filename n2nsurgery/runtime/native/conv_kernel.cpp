#include "conv_kernel.h"

#include "expected_input.h"
#include "large_pages.h"
#include "processor.h"

namespace n2n {
namespace {

// Images of one pixel, as squeeze-and-excitation has them: rows of a linear layer.
bool is_linear_layer(const ConvProblem& problem) {
  return problem.groups == 1 && problem.pointwise() && problem.output_pixels() == 1;
}

}  // namespace

ConvKernel::ConvKernel(const ort::KernelSetup& setup, const OpVariant& variant)
    : variant_(variant),
      attributes_(parse_conv_attributes(setup.integers("weight_shape"), setup.integers("strides"),
                                        setup.integers("pads"), setup.integers("dilations"),
                                        setup.integer("group", 1))),
      input_(read_sparse_input(setup, variant, attributes_.weight_shape())),
      blocks_(input_.weights, attributes_.groups),
      kernels_(select_kernels()) {
  const std::optional<ConvProblem> expected = expected_problem(attributes_, setup.claimed_shape(0));
  if (!expected) return;
  if (is_linear_layer(*expected)) {
    short_inputs_ = ShortInputs(input_.weights);
  } else {
    prepare_scratch(*plan_for(*expected, 1));  // a model is mostly run by the thread that loads it
  }
}

std::shared_ptr<const Plan> ConvKernel::plan_for(const ConvProblem& problem, int64_t threads) {
  return plans_.find({problem.input, threads},
                     [&] { return make_plan(input_.weights, blocks_, problem, kernels_, threads); });
}

void ConvKernel::compute_rows(const ort::Invocation& invocation, const ConvTensors& tensors, int64_t rows) {
  GemmTensors linear;
  linear.x = tensors.x;
  linear.bias = tensors.bias;
  linear.residual = tensors.residual;
  linear.y = tensors.y;
  linear.rows = rows;
  linear.activation = tensors.activation;
  run_rows(invocation, input_.weights, short_inputs_, kernels_, linear, threads_);
}

void ConvKernel::compute(const ort::Invocation& invocation) {
  const ort::TensorView x = invocation.input(0, "X");
  const ConvProblem problem = make_problem(attributes_, x.shape);
  const std::vector<int64_t> shape = output_shape(attributes_, x.shape);
  ConvTensors tensors;
  tensors.x = x.floats();
  tensors.bias = input_.bias.data();
  tensors.activation = input_.activation;
  if (variant_.add) {
    const ort::TensorView residual = invocation.input(variant_.residual_index(), "residual");
    require(residual.shape == shape, "residual does not have the output's shape");
    tensors.residual = residual.floats();
  }
  tensors.y = invocation.output(shape);
  if (problem.batch == 0) return;
  if (is_linear_layer(problem)) return compute_rows(invocation, tensors, problem.batch);
  if (result_.exchange(tensors.y, std::memory_order_relaxed) != tensors.y) {
    const int64_t floats = problem.batch * attributes_.outputs * problem.output_pixels();
    prefer_large_pages(tensors.y, static_cast<size_t>(floats) * sizeof(float));
  }
  const int64_t work = input_.weights.nnz() / problem.groups * problem.output_pixels() * problem.batch;
  const bool large = work >= kWorthProducts;
  const std::shared_ptr<const Plan> plan = plan_for(problem, large ? threads_for_image(problem.batch, threads_) : 1);
  tensors.batch = problem.batch;
  tensors.packed = shared_input(*plan, plan->patches(problem.batch));
  run_tasks(invocation, {plan->pack_tasks(problem.batch), plan->tasks(problem.batch)}, large, threads_,
            [&](int64_t task) { run_conv_task(*plan, kernels_, tensors, task); });
}

}  // namespace n2n
