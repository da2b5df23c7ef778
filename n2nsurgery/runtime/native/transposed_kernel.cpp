#include "transposed_kernel.h"

#include "executor.h"
#include "expected_input.h"
#include "processor.h"

namespace n2n {

TransposedKernel::TransposedKernel(const ort::KernelSetup& setup, const OpVariant& variant)
    : attributes_(parse_transposed_attributes(setup.integers("weight_shape"), setup.integers("strides"),
                                              setup.integers("pads"), setup.integers("output_padding"),
                                              setup.integers("dilations"), setup.integer("group", 1))),
      kernels_(select_kernels()) {
  const SparseInput input =
      read_sparse_input(setup, variant, attributes_.conv.weight_shape(), attributes_.outputs());
  activation_ = input.activation;
  weights_ = weights_of_phases(input.weights, attributes_);
  bias_ = bias_of_phases(input.bias, attributes_);
  blocks_ = BlockMap(weights_, attributes_.conv.groups);
  const std::optional<ConvProblem> expected = expected_problem(attributes_, setup.claimed_shape(0));
  if (expected) prepare_scratch(*plan_for(*expected, 1));  // a model is mostly run by the thread that loads it
}

std::shared_ptr<const Plan> TransposedKernel::plan_for(const ConvProblem& problem, int64_t threads) {
  return plans_.find({problem.input, threads},
                     [&] { return make_plan(weights_, blocks_, problem, kernels_, threads); });
}

void TransposedKernel::compute(const ort::Invocation& invocation) {
  const ort::TensorView x = invocation.input(0, "X");
  const ConvProblem problem = make_problem(attributes_, x.shape);
  const Shuffle shuffle = make_shuffle(attributes_, x.shape);
  ConvTensors tensors;
  tensors.x = x.floats();
  tensors.bias = bias_.data();
  tensors.activation = activation_;
  tensors.shuffle = &shuffle;
  tensors.y = invocation.output(output_shape(attributes_, x.shape));
  if (problem.batch == 0) return;
  const int64_t work = weights_.nnz() / problem.groups * problem.output_pixels() * problem.batch;
  const bool large = work >= kWorthProducts;
  const std::shared_ptr<const Plan> plan = plan_for(problem, large ? threads_for_image(problem.batch, threads_) : 1);
  tensors.batch = problem.batch;
  tensors.packed = shared_input(*plan, plan->patches(problem.batch));
  run_tasks(invocation, {plan->pack_tasks(problem.batch), plan->tasks(problem.batch)}, large, threads_,
            [&](int64_t task) { run_conv_task(*plan, kernels_, tensors, task); });
}

}  // namespace n2n
