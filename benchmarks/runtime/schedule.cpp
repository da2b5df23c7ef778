// How a network's convolutions would be spread over threads, on paper: each task is run by one thread and timed, the
// least of several times counts, and the times are dealt out as the runtime's loop deals out tasks. What threads take
// from each other (caches, memory, clock) is not in it. See schedule.py.
//
//   schedule LAYERS DENSITY ROUNDS THREADS...
//
// LAYERS: lines of "outputs inputs kernel extent stride pad count".
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "executor.h"
#include "measuring.h"
#include "plan.h"
#include "processor.h"

using namespace n2n;

namespace {

// The time when the last thread is free, each task going to the thread that is free first.
double dealt_out(const std::vector<double>& times, size_t begin, size_t end, size_t threads) {
  std::vector<double> free_at(threads, 0.0);
  for (size_t i = begin; i < end; ++i) *std::min_element(free_at.begin(), free_at.end()) += times[i];
  return *std::max_element(free_at.begin(), free_at.end());
}

struct Layer {
  Plan plan;
  int count = 0;
  std::vector<float> x, y, bias;
  std::vector<double> times;  // of each task

  // Once to fill the caches, then with the clock.
  void run(const Kernels& kernels) {
    ConvTensors tensors;
    tensors.x = x.data();
    tensors.bias = bias.data();
    tensors.y = y.data();
    tensors.activation.curve = Curve::kRelu;
    tensors.packed = shared_input(plan, plan.patches(1));
    for (size_t task = 0; task < times.size(); ++task) run_conv_task(plan, kernels, tensors, static_cast<int64_t>(task));
    for (size_t task = 0; task < times.size(); ++task) {
      const double start = now();
      run_conv_task(plan, kernels, tensors, static_cast<int64_t>(task));
      times[task] = std::min(times[task], now() - start);
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 1;
  const double density = std::atof(argv[2]);
  const int rounds = std::atoi(argv[3]);
  const Kernels& kernels = select_kernels();
  std::vector<size_t> threads;
  for (int i = 4; i < argc; ++i) threads.push_back(static_cast<size_t>(std::atol(argv[i])));
  std::vector<std::vector<Layer>> networks(threads.size());
  std::FILE* file = std::fopen(argv[1], "r");
  if (file == nullptr) return 1;
  std::mt19937 random(1);
  int o, i, k, h, s, p, count;
  while (std::fscanf(file, "%d %d %d %d %d %d %d", &o, &i, &k, &h, &s, &p, &count) == 7) {
    const ConvAttributes conv = parse_conv_attributes({o, i, k, k}, {s, s}, {p, p, p, p}, {}, 1);
    const ConvProblem problem = make_problem(conv, {1, i, h, h});
    const SparseWeights weights = random_weights(conv.weight_shape(), density, false, random);
    const BlockMap blocks(weights, 1);
    for (size_t n = 0; n < threads.size(); ++n) {
      Layer layer;
      layer.plan = make_plan(weights, blocks, problem, kernels, static_cast<int64_t>(threads[n]));
      layer.count = count;
      layer.x.assign(static_cast<size_t>(problem.input_pixels() * i), 0.5F);
      layer.y.resize(static_cast<size_t>(problem.output_pixels() * o));
      layer.bias.resize(static_cast<size_t>(o));
      layer.times.assign(static_cast<size_t>(layer.plan.tasks(1)), std::numeric_limits<double>::infinity());
      networks[n].push_back(std::move(layer));
    }
  }
  std::fclose(file);
  for (int round = 0; round < rounds; ++round) {
    for (size_t layer = 0; layer < networks[0].size(); ++layer) {
      for (std::vector<Layer>& network : networks) network[layer].run(kernels);
    }
  }
  double alone = 0.0;
  for (size_t n = 0; n < threads.size(); ++n) {
    double all = 0.0, last = 0.0;
    for (const Layer& layer : networks[n]) {
      const auto packs = static_cast<size_t>(layer.plan.pack_tasks(1));
      const double layer_all = std::accumulate(layer.times.begin(), layer.times.end(), 0.0);
      const double layer_last = dealt_out(layer.times, 0, packs, threads[n]) +
                                dealt_out(layer.times, packs, layer.times.size(), threads[n]);
      all += layer.count * layer_all;
      last += layer.count * layer_last;
      if (std::getenv("LAYERS") != nullptr) {
        const Tiling& t = layer.plan.tiling;
        std::printf("  %2zu threads: %4lld outputs %4lld inputs %3lld pixels  R%-2d rows %lld cols %lld ch %lld chunks %lld%s  "
                    "tasks %3zu + %3zu  %7.1f us of work, last %7.1f us, %.2f\n",
                    threads[n], (long long)layer.plan.problem.group_outputs, (long long)layer.plan.problem.group_inputs,
                    (long long)layer.plan.problem.output[2], t.registers, (long long)t.rows, (long long)t.columns,
                    (long long)t.channels, (long long)t.chunks, t.direct ? " direct" : "", packs,
                    layer.times.size() - packs, layer_all * 1e6, layer_last * 1e6, layer_all / layer_last);
      }
    }
    if (n == 0) alone = all;
    std::printf("%zu threads: last done after %.3f ms, %.2f times as fast as %zu; work %.3f ms, %.2f times as much\n",
                threads[n], last * 1e3, alone / last, threads[0], all * 1e3, all / alone);
  }
}
