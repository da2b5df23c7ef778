#include "gemm_kernel.h"

#include <algorithm>
#include <string>

#include "cost_model.h"
#include "expected_input.h"
#include "gemm_executor.h"
#include "processor.h"
#include "rounding.h"

namespace n2n {
namespace {

constexpr int64_t kFewRows = 3;             // fewer rows than this are computed one by one
constexpr int64_t kLeastOutputs = 16;       // of a chunk of many rows
constexpr int64_t kEvenTasks = 6;           // for each thread: so many are even enough

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
  const ConvProblem problem = gemm_problem(input_.weights.shape, 1);
  most_vectors_ = choose_row_vectors({problem, input_.weights.nnz(), blocks_.share()}, kernels_);
  const std::optional<int64_t> rows = expected_rows(input_.weights.shape, setup.claimed_shape(0));
  if (rows && *rows >= kFewRows) prepare_scratch(*plan_for(cut(*rows, 1)));
}

GemmKernel::Cut GemmKernel::cut(int64_t rows, int64_t threads) const {
  const int64_t vectors = ceil_div(rows, kernels_.lanes);
  const int64_t least_pieces = ceil_div(vectors, most_vectors_);
  const int64_t piece_vectors = ceil_div(vectors, least_pieces);
  const int64_t pieces = ceil_div(vectors, piece_vectors);
  const int64_t most_chunks = std::max<int64_t>(1, input_.weights.shape.outputs / kLeastOutputs);
  int64_t chunks = 1;
  while (chunks < most_chunks && pieces * chunks % threads != 0 && pieces * chunks < kEvenTasks * threads) ++chunks;
  return {piece_vectors, piece_vectors * kernels_.lanes, chunks};
}

std::shared_ptr<const Plan> GemmKernel::plan_for(const Cut& cut) {
  return plans_.find({Axes{1, 1, cut.vectors}, cut.chunks}, [&] {
    return make_gemm_plan(input_.weights, blocks_, kernels_, cut.vectors, cut.chunks);
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
  tensors.activation = input_.activation;
  if (variant_.add) {
    const ort::TensorView residual = invocation.input(variant_.residual_index(), "residual");
    require(residual.shape == shape, "residual does not have the output's shape");
    tensors.residual = residual.floats();
  }
  tensors.y = invocation.output(shape);
  const int64_t rows = x.size() / weight.inputs;
  if (rows == 0) return;
  tensors.rows = rows;
  if (rows < kFewRows) return run_rows(invocation, input_.weights, short_inputs_, kernels_, tensors, threads_);
  const bool large = input_.weights.nnz() * rows >= kWorthProducts;
  const Cut pieces = cut(rows, large ? threads_.seen() : 1);
  const std::shared_ptr<const Plan> plan = plan_for(pieces);
  tensors.piece_rows = pieces.piece_rows;
  tensors.packed = shared_input(*plan, tensors.pieces());
  const int64_t packs = tensors.pieces() * plan->pack_parts;
  run_tasks(invocation, {packs, packs + tensors.pieces() * pieces.chunks}, large, threads_,
            [&](int64_t task) { run_gemm_task(*plan, kernels_, tensors, task); });
}

}  // namespace n2n
