#include "int8_pack.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#include <algorithm>
#include <cstring>
#include <vector>

namespace n2n {
namespace {

constexpr int64_t kOverrun = 16;  // pixels that an interleaving step may read behind a row

// Fills `pixels` pixels with one level.
void fill(uint8_t* packed, int64_t pixels, uint8_t level) {
  if (pixels > 0) std::memset(packed, level, static_cast<size_t>(pixels) * 4);
}

#if defined(__x86_64__)
// Sixteen of every second level.
void take_16_of_32(const uint8_t* source, uint8_t* target) {
  const __m128i low_bytes = _mm_set1_epi16(0xFF);
  const auto* from = reinterpret_cast<const __m128i*>(source);
  const __m128i first = _mm_and_si128(_mm_loadu_si128(from), low_bytes);
  const __m128i second = _mm_and_si128(_mm_loadu_si128(from + 1), low_bytes);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(target), _mm_packus_epi16(first, second));
}
#endif

// Every `stride`th of the source, of which `readable` bytes may be read; behind `count` more may be written.
void take(const uint8_t* source, int64_t stride, int64_t count, [[maybe_unused]] int64_t readable, uint8_t* target) {
  int64_t i = 0;
#if defined(__x86_64__)
  if (stride == 2) {
    for (; i < count && 2 * i + 32 <= readable; i += 16) take_16_of_32(source + 2 * i, target + i);
  }
#endif
  for (; i < count; ++i) target[i] = source[stride * i];
}

// Every `stride`th of the source's packed pixels.
void take_pixels(const uint8_t* source, int64_t stride, int64_t count, uint8_t* target) {
  int64_t i = 0;
  if (stride == 1) {
    for (; i + 4 <= count; i += 4) std::memcpy(target + 4 * i, source + 4 * i, 16);
  }
#if defined(__x86_64__)
  if (stride == 2) {
    for (; i + 4 < count; i += 4) {  // of the last pixels, the source may end behind the one that is taken
      const auto* from = reinterpret_cast<const float*>(source + 8 * i);
      const __m128 taken = _mm_shuffle_ps(_mm_loadu_ps(from), _mm_loadu_ps(from + 4), _MM_SHUFFLE(2, 0, 2, 0));
      _mm_storeu_ps(reinterpret_cast<float*>(target + 4 * i), taken);
    }
  }
#endif
  for (; i < count; ++i) std::memcpy(target + 4 * i, source + 4 * stride * i, 4);
}

// How a patch's packed rows lie in the input's.
class RowPacker {
 public:
  RowPacker(const Int8Plan& plan, const Int8Kernels& kernels, uint8_t zero, const uint8_t* end)
      : problem_(plan.problem),
        kernels_(kernels),
        packed_input_(plan.packed.x),
        zero_(zero),
        end_(end),
        taken_(packed_input_ ? 0 : 4 * (plan.pitch + kOverrun)) {}

  // `count` pixels, of which pixel 0 lies in column `column`, from the rows that begin at `rows`; of a packed input, from
  // the one at rows[0].
  void pack(const uint8_t* const (&rows)[4], int64_t column, int64_t count, uint8_t* packed) {
    const int64_t stride = problem_.stride[2];
    const int64_t first = std::clamp((stride - 1 - column) / stride, int64_t{0}, count);
    const int64_t last = std::clamp((problem_.input[2] - column + stride - 1) / stride, first, count);
    fill(packed, first, zero_);
    if (first < last) {
      const int64_t from = column + first * stride;
      if (packed_input_) {
        take_pixels(rows[0] + 4 * from, stride, last - first, packed + 4 * first);
      } else if (stride == 1) {
        whole(rows, from, last - first, packed + 4 * first);
      } else {
        strided(rows, from, last - first, packed + 4 * first);
      }
    }
    fill(packed + 4 * last, count - last, zero_);
  }

 private:
  void whole(const uint8_t* const (&rows)[4], int64_t column, int64_t count, uint8_t* packed) {
    const uint8_t* const channels[4] = {rows[0] + column, rows[1] + column, rows[2] + column, rows[3] + column};
    kernels_.interleave(channels, packed, count, end_ - *std::max_element(channels, channels + 4));
  }

  void strided(const uint8_t* const (&rows)[4], int64_t column, int64_t count, uint8_t* packed) {
    const int64_t pitch = static_cast<int64_t>(taken_.size()) / 4;
    const uint8_t* channels[4];
    for (int64_t c = 0; c < 4; ++c) {
      take(rows[c] + column, problem_.stride[2], count, end_ - rows[c] - column, taken_.data() + c * pitch);
      channels[c] = taken_.data() + c * pitch;
    }
    kernels_.interleave(channels, packed, count, pitch);
  }

  const ConvProblem& problem_;
  const Int8Kernels& kernels_;
  bool packed_input_;
  uint8_t zero_;
  const uint8_t* end_;  // of the input
  std::vector<uint8_t> taken_;
};

}  // namespace

void pack_int8_patch(const Int8Plan& plan, const Int8Kernels& kernels, const Int8Patch& patch, const uint8_t* x,
                     int64_t batch, uint8_t zero, uint8_t* packed) {
  const ConvProblem& problem = plan.problem;
  const int64_t pixels = problem.input_pixels();
  const uint8_t* image = x + (patch.image * problem.groups + patch.group) * problem.group_inputs * pixels;
  RowPacker packer(plan, kernels, zero, x + batch * problem.groups * problem.group_inputs * pixels);
  const int64_t first_row = patch.row * plan.rows;
  const int64_t first_column = patch.column * plan.columns;
  const int64_t beside = plan.plane_rows - plan.rows;  // rows that a kernel reaches further
  const int64_t rows = std::min(plan.rows, problem.output[1] - first_row) + beside;
  const int64_t columns = std::min(plan.columns, problem.output[2] - first_column) + plan.pitch - plan.columns;
  for (int64_t group = 0; group < plan.input_groups; ++group) {
    for (int64_t tap = 0; tap < problem.kernel[0]; ++tap) {
      const int64_t depth = patch.slice * problem.stride[0] - problem.pad[0] + tap * problem.dilation[0];
      for (const Int8Plan::Phase& phase : plan.phases) {
        const int64_t column = first_column * problem.stride[2] + phase.column - problem.pad[2];
        for (int64_t row = 0; row < rows; ++row) {
          const int64_t from = (first_row + row) * problem.stride[1] + phase.row - problem.pad[1];
          if (depth < 0 || depth >= problem.input[0] || from < 0 || from >= problem.input[1]) {
            fill(packed + row * plan.pitch * 4, columns, zero);
            continue;
          }
          const uint8_t* channels[4] = {};
          const int64_t place = (depth * problem.input[1] + from) * problem.input[2];
          if (plan.packed.x) channels[0] = image + 4 * (group * pixels + place);
          for (int64_t c = 0; c < 4 && !plan.packed.x; ++c) {  // behind the last channel weights are zero, and any level will do
            const int64_t channel = std::min(4 * group + c, problem.group_inputs - 1);
            channels[c] = image + channel * pixels + place;
          }
          packer.pack(channels, column, columns, packed + row * plan.pitch * 4);
        }
        packed += plan.plane() * 4;
      }
    }
  }
}

void pack_int8_rows(const Int8Plan& plan, const uint8_t* x, int64_t rows, int64_t inputs, uint8_t* packed) {
  const int64_t whole = inputs / 4;
  for (int64_t row = 0; row < rows; ++row) {
    const uint8_t* source = x + row * inputs;
    uint8_t* target = packed + row * 4;
    for (int64_t group = 0; group < whole; ++group) std::memcpy(target + group * plan.pitch * 4, source + 4 * group, 4);
    if (whole < plan.input_groups) {
      std::memcpy(target + whole * plan.pitch * 4, source + 4 * whole, static_cast<size_t>(inputs - 4 * whole));
    }
  }
}

}  // namespace n2n
