// Times single layers outside ONNX Runtime: the cost model's tiling against others, to fit its constants.
//
//   layers LAYERS DENSITY uniform|block4 [search]
//
// LAYERS: lines of "outputs inputs kernel extent stride pad count". Build with the objects of the library.
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "executor.h"
#include "measuring.h"
#include "plan.h"
#include "processor.h"

using namespace n2n;

namespace {

// With the environment variable COLD, what the first two caches hold is replaced, as other layers of a network do.
void cool() {
  static std::vector<float> other(std::getenv("COLD") != nullptr ? 1 << 20 : 0);
  for (float& value : other) value += 1.0F;
}

double best_time(const Plan& plan, const Kernels& kernels, const ConvTensors& tensors, double budget) {
  double best = 1e9;
  const double begin = now();
  for (int round = 0; round < 4 || now() - begin < budget; ++round) {
    cool();
    const double start = now();
    for (int64_t task = 0; task < plan.tasks(1); ++task) run_conv_task(plan, kernels, tensors, task);
    best = std::min(best, now() - start);
  }
  return best;
}

// Activations, in large pages if the environment variable HUGE is set.
float* tensor(int64_t count) {
  constexpr size_t kLarge = size_t{1} << 21;
  const bool large = std::getenv("HUGE") != nullptr;
  const size_t unit = large ? kLarge : 4096;
  const size_t bytes = (static_cast<size_t>(count) * 4 + unit - 1) / unit * unit;
  auto* memory = static_cast<float*>(std::aligned_alloc(unit, bytes));
  if (large) madvise(memory, bytes, MADV_HUGEPAGE);
  return memory;
}

std::string text(const Tiling& t) {
  char line[128];
  std::snprintf(line, sizeof line, "R%-2d rows %-2d cols %-3d ch %-4d %s%s", t.registers, (int)t.rows, (int)t.columns,
                (int)t.channels, t.aligned ? "aligned" : "tight", t.direct ? " direct" : "");
  return line;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 1;
  std::FILE* file = std::fopen(argv[1], "r");
  const double density = std::atof(argv[2]);
  const bool block4 = std::strcmp(argv[3], "block4") == 0;
  const bool search = argc > 4;
  const Kernels& kernels = select_kernels();
  std::mt19937 random(1);
  int o, i, k, h, s, p, count;
  double total = 0, total_best = 0;
  while (std::fscanf(file, "%d %d %d %d %d %d %d", &o, &i, &k, &h, &s, &p, &count) == 7) {
    const ConvAttributes conv = parse_conv_attributes({o, i, k, k}, {s, s}, {p, p, p, p}, {}, 1);
    const ConvProblem problem = make_problem(conv, {1, i, h, h});
    const SparseWeights weights = random_weights(conv.weight_shape(), density, block4, random);
    const BlockMap blocks(weights, 1);
    const Workload work{problem, weights.nnz(), blocks.share()};
    float* x = tensor(problem.input_pixels() * i);
    float* y = tensor(problem.output_pixels() * o);
    for (int64_t n = 0; n < problem.input_pixels() * i; ++n) x[n] = (float)n / 1e6F;
    std::vector<float> bias(o);
    ConvTensors tensors;
    tensors.x = x;
    tensors.bias = bias.data();
    tensors.y = y;
    tensors.activation.curve = Curve::kRelu;
    const Tiling chosen = choose_tiling(work, kernels);
    const Plan plan = make_plan(weights, blocks, problem, kernels, 1);
    const double time = best_time(plan, kernels, tensors, 0.15);
    const double flops = 2.0 * (double)weights.nnz() * (double)problem.output_pixels();
    std::printf("%4d %4d k%d %3d s%d x%d  %s  %7.1f us  model %7.1f kcyc %5.1f GF/s\n", o, i, k, h, s, count,
                text(chosen).c_str(), time * 1e6, estimate_cycles(work, chosen, kernels) / 1e3, flops / time * 1e-9);
    double best = time;
    if (search) {
      struct Tried { double time; Tiling tiling; };
      std::vector<Tried> tried;
      const int most = blocks.any() ? kernels.max_block_registers : kernels.max_registers;
      const auto attempt = [&](Tiling t) {
        const Layout layout = make_layout(problem, t, kernels.lanes);
        t.channels = std::min<int64_t>(t.channels, i);
        t.chunks = 1;
        if (!offsets_fit(layout, t, kernels.lanes)) return;
        for (const Tried& other : tried) if (std::memcmp(&other.tiling, &t, sizeof t) == 0) return;
        const Plan candidate = make_plan(weights, blocks, problem, kernels, 1, t);
        tried.push_back({best_time(candidate, kernels, tensors, 0.006), t});
      };
      for (const int channels : {4096, 256, 128, 64, 32, 16})
        for (int r = 1; r <= most; r += r >= 8 ? 2 : 1) {
          Tiling t;
          std::memset((void*)&t, 0, sizeof t);
          t.channels = channels;
          t.registers = r;
          if (problem.pointwise()) {
            t.rows = 1;
            t.aligned = true;
            t.columns = std::min<int64_t>(problem.output[2], r * kernels.lanes);
            t.direct = false;
            attempt(t);
            t.direct = problem.output[2] % kernels.lanes == 0;
            attempt(t);
            t.direct = false;
            t.columns = problem.output[2];
            if (t.columns <= 512) attempt(t);
          } else {
            for (const int rows : {1, 2, 4, 7, 8, 14}) {
              if (rows > problem.output[1]) break;
              t.rows = rows;
              t.columns = problem.output[2];
              t.aligned = true;
              attempt(t);
              t.aligned = false;
              if (t.columns < 4 * kernels.lanes) attempt(t);
            }
          }
        }
      if (const char* dump = std::getenv("DUMP")) {
        std::FILE* out = std::fopen(dump, "a");
        for (const Tried& t : tried) {
          const Effort e = estimate_effort(work, t.tiling, kernels);
          const double* f = &e.loads_l1;
          std::fprintf(out, "%d-%d-%d-%d-%d-%g-%s %d %.9g", o, i, k, h, s, density, argv[3], count, t.time);
          for (size_t n = 0; n < sizeof(Effort) / sizeof(double); ++n) std::fprintf(out, " %.9g", f[n]);
          std::fprintf(out, " %s\n", text(t.tiling).c_str());
        }
        std::fclose(out);
      }
      std::sort(tried.begin(), tried.end(), [](const Tried& a, const Tried& b) { return a.time < b.time; });
      for (size_t n = 0; n < 5 && n < tried.size(); ++n) {
        std::printf("      %s  %7.1f us  model %7.1f kcyc\n", text(tried[n].tiling).c_str(), tried[n].time * 1e6,
                    estimate_cycles(work, tried[n].tiling, kernels) / 1e3);
      }
      best = std::min(best, tried.front().time);
    }
    total += time * count;
    total_best += best * count;
    std::fflush(stdout);
    std::free(x);
    std::free(y);
  }
  std::printf("TOTAL %.3f ms, best tilings %.3f ms\n", total * 1e3, total_best * 1e3);
}
