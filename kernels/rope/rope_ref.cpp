#include <cmath>

#include "base/check.h"
#include "kernels/cpu/parallel.h"
#include "kernels/rope/rope.h"

namespace hearth::kernels {
namespace {

// A sine and a cosine of a large angle cost about as much as this many multiplications.
constexpr int64_t kWorkPerAngle = 50;

void rotate_head(const RopeArgs& args, const float* table, float* head) {
  const int half = args.rotary_dim / 2;
  const bool halves = args.style == RopeStyle::kHalves;
  for (int i = 0; i < half; ++i) {
    float& a = head[halves ? i : 2 * i];
    float& b = head[halves ? i + half : 2 * i + 1];
    const double cosine = table[2 * i];
    const double sine = table[2 * i + 1];
    const double rotated_a = a * cosine - b * sine;
    const double rotated_b = a * sine + b * cosine;
    a = static_cast<float>(rotated_a);
    b = static_cast<float>(rotated_b);
  }
}

}  // namespace

void rope_table_ref(const ExecContext& context, const RopeTableArgs& args) {
  HEARTH_CHECK(args.rotary_dim % 2 == 0, "rotary dimensions come in pairs");
  const int64_t half = args.rotary_dim / 2;
  for_each_slice(context, args.rows, half * kWorkPerAngle, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* out = args.table + row * 2 * half;
      for (int64_t i = 0; i < half; ++i) {
        const double angle = args.positions[row] * args.inverse_frequency[i];
        out[2 * i] = static_cast<float>(std::cos(angle) * args.magnitude);
        out[2 * i + 1] = static_cast<float>(std::sin(angle) * args.magnitude);
      }
    }
  });
}

void rope_ref(const ExecContext& context, const RopeArgs& args) {
  HEARTH_CHECK(args.rotary_dim % 2 == 0 && args.rotary_dim <= args.head_dim,
               "rotary dimensions come in pairs and lie inside the head");
  const int64_t work = int64_t{args.num_heads} * args.rotary_dim;
  for_each_slice(context, args.rows, work, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int head = 0; head < args.num_heads; ++head)
        rotate_head(args, args.table + row * args.rotary_dim,
                    args.x + row * args.x_stride + int64_t{head} * args.head_dim);
  });
}

}  // namespace hearth::kernels
