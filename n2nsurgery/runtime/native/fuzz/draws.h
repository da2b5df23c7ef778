// What all fuzz drivers share: random draws, an instruction set of this processor for each case, and the program.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <vector>

#include "error.h"
#include "processor.h"

namespace n2n {

class Draws {
 public:
  // odd: how often a size is one that no layer has.
  Draws(uint64_t seed, double odd) : random_(seed), odd_(odd) {}

  int64_t between(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random_); }
  double real(double low, double high) { return std::uniform_real_distribution<double>(low, high)(random_); }
  bool chance(double p) { return std::bernoulli_distribution(p)(random_); }
  float number() { return std::normal_distribution<float>()(random_); }

  // Mostly sensible, now and then not.
  int64_t extent(int64_t least, int64_t most) {
    if (!chance(odd_)) return between(least, most);
    const int64_t odd[] = {0, -1, 1 << 20, int64_t{1} << 31, std::numeric_limits<int64_t>::max(),
                           std::numeric_limits<int64_t>::min()};
    return odd[between(0, 5)];
  }

  std::vector<int64_t> extents(size_t count, int64_t least, int64_t most) {
    if (chance(2 * odd_)) count = static_cast<size_t>(between(0, 7));
    std::vector<int64_t> values;
    for (size_t i = 0; i < count; ++i) values.push_back(extent(least, most));
    return values;
  }

  // Kernels made from now on use one of the instruction sets that this processor has.
  void choose_instruction_set() {
    static const std::vector<const char*> names = available();
    setenv("N2NSURGERY_ISA", names[static_cast<size_t>(between(0, static_cast<int64_t>(names.size()) - 1))], 1);
  }

 private:
  static std::vector<const char*> available() {
    std::vector<const char*> found;
    for (const char* name : {"avx512", "avx2", "neon", "portable"}) {
      setenv("N2NSURGERY_ISA", name, 1);
      try {
        select_kernels();
        found.push_back(name);
      } catch (const Error&) {
      }
    }
    return found;
  }

  std::mt19937_64 random_;
  double odd_;
};

// The program of a fuzz driver, DRIVER [CASES] [SEED]; run_case(draws) is true where a case was accepted and run.
template <class Case>
int run_cases(int argc, char** argv, double odd, const Case& run_case) {
  const long cases = argc > 1 ? std::atol(argv[1]) : 2000;
  Draws draws(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1, odd);
  long accepted = 0;
  for (long i = 0; i < cases; ++i) {
    draws.choose_instruction_set();
    try {
      accepted += run_case(draws) ? 1 : 0;
    } catch (const Error&) {
    }
  }
  std::printf("%ld cases, %ld accepted\n", cases, accepted);
  return 0;
}

}  // namespace n2n
