#include "batch_norm.h"

#include <cmath>

#include "stream.h"
#include "thread_pool.h"
#include "training_kernels.h"

namespace n2n::training {

void norm_forward(const NormShape& shape, const NormForward& norm, int threads) {
  const TrainingKernels& kernels = select_training_kernels();
  parallel(threads, shape.channels, [&](int64_t c) {
    const float* x = norm.x + c * shape.count;
    double mean = static_cast<double>(norm.mean[c]);
    double variance = static_cast<double>(norm.variance[c]);
    if (norm.training != 0) {
      const Moments found = kernels.moments(x, shape.count);
      mean = found.mean;
      variance = found.variance;
      norm.mean[c] = static_cast<float>(mean);
      norm.variance[c] = static_cast<float>(variance);
    }
    const double inverse = 1.0 / std::sqrt(variance + norm.epsilon);
    norm.inverse[c] = static_cast<float>(inverse);
    const double scale = inverse * (norm.weight == nullptr ? 1.0 : static_cast<double>(norm.weight[c]));
    const double bias = norm.bias == nullptr ? 0.0 : static_cast<double>(norm.bias[c]);
    norm.scale[c] = static_cast<float>(scale);
    norm.shift[c] = static_cast<float>(bias - mean * scale);
    NormJob job;
    job.x = x;
    job.residual = norm.residual == nullptr ? nullptr : norm.residual + c * shape.count;
    job.y = norm.y + c * shape.count;
    job.count = shape.count;
    job.scale = norm.scale[c];
    job.shift = norm.shift[c];
    job.relu = shape.relu != 0;
    job.stream = streams(norm.y, shape.channels * shape.count, shape.count, kernels.lanes);
    kernels.normalize(job);
    finish_streams();
  });
}

void norm_backward(const NormShape& shape, const NormBackward& norm, int threads) {
  const TrainingKernels& kernels = select_training_kernels();
  parallel(threads, shape.channels, [&](int64_t c) {
    NormGradientJob job;
    job.x = norm.x + c * shape.count;
    job.y = norm.y == nullptr ? nullptr : norm.y + c * shape.count;
    job.dy = norm.dy + c * shape.count;
    job.passed = norm.y == nullptr ? nullptr : norm.passed + c * shape.count;
    job.dx = norm.dx + c * shape.count;
    job.count = shape.count;
    job.scale = norm.scale[c];
    job.shift = norm.shift[c];
    job.mean = norm.mean[c];
    job.inverse = norm.inverse[c];
    job.relu = shape.relu != 0;
    const GradientSums sums = kernels.gradient_sums(job);
    if (norm.dweight != nullptr) norm.dweight[c] = static_cast<float>(sums.dy_xhat);
    if (norm.dbias != nullptr) norm.dbias[c] = static_cast<float>(sums.dy);
    job.factor = norm.inverse[c] * (norm.weight == nullptr ? 1.0F : norm.weight[c]);
    const double share = norm.training != 0 ? 1.0 / static_cast<double>(shape.count) : 0.0;
    job.offset = static_cast<float>(sums.dy * share);
    job.slope = static_cast<float>(sums.dy_xhat * share);
    job.stream = streams(norm.dx, shape.channels * shape.count, shape.count, kernels.lanes);
    kernels.norm_gradient(job);
    finish_streams();
  });
}

}  // namespace n2n::training
