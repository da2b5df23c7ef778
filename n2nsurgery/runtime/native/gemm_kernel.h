// SparseGemm and its variants, Y = X W^T + b over the last axis of X: one node of a model.
#pragma once

#include <memory>

#include "kernels.h"
#include "ort_call.h"
#include "packed_weights.h"
#include "plan_cache.h"
#include "row_product.h"
#include "sparse_input.h"
#include "task_loop.h"

namespace n2n {

class GemmKernel {
 public:
  // Makes the plan for the input's expected size, where the model tells it.
  GemmKernel(const ort::KernelSetup& setup, const OpVariant& variant);

  // Safe to call from several threads at once.
  void compute(const ort::Invocation& invocation);

 private:
  // Cuts rows into pieces and outputs into chunks, for that many threads.
  struct Cut {
    int64_t vectors, piece_rows, chunks;
  };
  Cut cut(int64_t rows, int64_t threads) const;
  std::shared_ptr<const Plan> plan_for(const Cut& cut);


  OpVariant variant_;
  SparseInput input_;
  BlockMap blocks_;
  const Kernels& kernels_;
  ShortInputs short_inputs_;
  int64_t most_vectors_;  // of rows in one piece
  PlanCache plans_;
  ThreadCount threads_;
};

}  // namespace n2n
