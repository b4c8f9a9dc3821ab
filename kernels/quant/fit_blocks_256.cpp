// Types with two levels of scales for 256 values: integer scales of groups, and an f16 one (two
// where there are minima) for all of them.
#include <cstring>

#include "kernels/quant/fit_blocks.h"
#include "kernels/quant/fit_scales.h"

namespace hearth::quant {
namespace {

/// How often the outer scales are fitted again to the groups' integer scales, and those to them.
constexpr int kRounds = 3;

template <int N>
struct Groups {
  static constexpr int kCount = 256 / N;
  Weighted<N> group[kCount];
  explicit Groups(const float* x) {
    for (int g = 0; g < kCount; ++g) group[g] = weigh<N>(x + g * N);
  }
};

int level_of(float v, const Uniform& levels) { return static_cast<int>(levels.nearest(v)); }

// ---- x = d * level * q

template <int N>
struct ScaleLevels {
  F16 d = 0;
  int level[256 / N] = {};
  [[nodiscard]] Fit fit(int g) const {
    return {f16_to_f32(d) * static_cast<float>(level[g]), 0.0F};
  }
};

/// Each group's level next to its present one of least error; the sum of the errors.
template <int N, typename Codes>
float choose_levels(const Groups<N>& values, const Codes& codes, const Uniform& levels,
                    ScaleLevels<N>& out) {
  float sum = 0.0F;
  for (int g = 0; g < values.kCount; ++g) {
    const int middle = out.level[g];
    int best = middle;
    float least = error_of(values.group[g], codes, out.fit(g));
    for (const int level : {middle - 1, middle + 1}) {
      if (level < static_cast<int>(levels.low) || level > static_cast<int>(levels.high)) continue;
      out.level[g] = level;
      const float error = error_of(values.group[g], codes, out.fit(g));
      if (error < least) {
        least = error;
        best = level;
      }
    }
    out.level[g] = best;
    sum += least;
  }
  return sum;
}

/// The outer scale of least squared error for the codes and levels there are.
template <int N, typename Codes>
float refit_outer(const Groups<N>& values, const Codes& codes, const ScaleLevels<N>& in) {
  float xq = 0.0F;
  float qq = 0.0F;
  for (int g = 0; g < values.kCount; ++g) {
    const Weighted<N>& v = values.group[g];
    const float scale = in.fit(g).scale;
    if (scale == 0.0F) continue;
    const float inverse = 1.0F / scale;
    const float level = static_cast<float>(in.level[g]);
    alignas(16) float q[N];
    for (int i = 0; i < N; ++i) q[i] = level * codes.nearest(v.x[i] * inverse);
    xq += lane_sum<N>([&](int i) { return v.w[i] * v.x[i] * q[i]; });
    qq += lane_sum<N>([&](int i) { return v.w[i] * q[i] * q[i]; });
  }
  return qq > 0.0F ? xq / qq : 0.0F;
}

template <int N, typename Codes>
ScaleLevels<N> fit_levels(const Groups<N>& values, const Codes& codes, const Uniform& levels) {
  float scale[256 / N];
  float largest = 0.0F;
  for (int g = 0; g < values.kCount; ++g) {
    scale[g] = search_scale(values.group[g], codes);
    if (std::fabs(scale[g]) > std::fabs(largest)) largest = scale[g];
  }
  ScaleLevels<N> best;
  float least = INFINITY;
  // The largest scale gets one of the levels at either end.
  for (const float end : {levels.low, levels.low + 1.0F, levels.high, levels.high - 1.0F}) {
    ScaleLevels<N> candidate;
    candidate.d = scale_to_f16(largest / end);
    for (int round = 0; round < kRounds; ++round) {
      const float d = f16_to_f32(candidate.d);
      if (d == 0.0F) break;
      if (round == 0)
        for (int g = 0; g < values.kCount; ++g) candidate.level[g] = level_of(scale[g] / d, levels);
      const float error = choose_levels(values, codes, levels, candidate);
      if (!(error < least)) break;
      least = error;
      best = candidate;
      candidate.d = scale_to_f16(refit_outer(values, codes, candidate));
    }
  }
  return best;
}

// ---- x = d * level * q - dmin * min_level

template <int N>
struct MinLevels {
  F16 d = 0;
  F16 dmin = 0;
  int level[256 / N] = {};
  int min_level[256 / N] = {};
  [[nodiscard]] Fit fit(int g) const {
    return {f16_to_f32(d) * static_cast<float>(level[g]),
            f16_to_f32(dmin) * static_cast<float>(min_level[g])};
  }
};

template <int N>
float choose_levels(const Groups<N>& values, const Uniform& codes, int top, MinLevels<N>& out) {
  float sum = 0.0F;
  for (int g = 0; g < values.kCount; ++g) {
    const int level = out.level[g];
    const int min_level = out.min_level[g];
    int best[2] = {level, min_level};
    float least = error_of(values.group[g], codes, out.fit(g));
    for (int a = std::max(0, level - 1); a <= std::min(top, level + 1); ++a) {
      for (int b = std::max(0, min_level - 1); b <= std::min(top, min_level + 1); ++b) {
        out.level[g] = a;
        out.min_level[g] = b;
        const float error = error_of(values.group[g], codes, out.fit(g));
        if (!(error < least)) continue;
        least = error;
        best[0] = a;
        best[1] = b;
      }
    }
    out.level[g] = best[0];
    out.min_level[g] = best[1];
    sum += least;
  }
  return sum;
}

/// Both outer scales of least squared error; left as they are if the codes determine none.
template <int N>
void refit_outer(const Groups<N>& values, const Uniform& codes, MinLevels<N>& out) {
  float qq = 0.0F;
  float qm = 0.0F;
  float mm = 0.0F;
  float xq = 0.0F;
  float xm = 0.0F;
  for (int g = 0; g < values.kCount; ++g) {
    const Weighted<N>& v = values.group[g];
    const Fit fit = out.fit(g);
    const float inverse = fit.scale == 0.0F ? 0.0F : 1.0F / fit.scale;
    const float level = static_cast<float>(out.level[g]);
    const float m = static_cast<float>(out.min_level[g]);
    alignas(16) float q[N];
    for (int i = 0; i < N; ++i) q[i] = level * codes.nearest((v.x[i] + fit.min) * inverse);
    qq += lane_sum<N>([&](int i) { return v.w[i] * q[i] * q[i]; });
    qm += m * lane_sum<N>([&](int i) { return v.w[i] * q[i]; });
    mm += m * m * lane_sum<N>([&](int i) { return v.w[i]; });
    xq += lane_sum<N>([&](int i) { return v.w[i] * v.x[i] * q[i]; });
    xm += m * lane_sum<N>([&](int i) { return v.w[i] * v.x[i]; });
  }
  const float determinant = qq * mm - qm * qm;
  float d = 0.0F;
  float dmin = 0.0F;
  if (determinant > 0.0F) {
    d = (xq * mm - xm * qm) / determinant;
    dmin = (xq * qm - xm * qq) / determinant;
  } else if (qq > 0.0F) {
    d = xq / qq;
  }
  if (!(d > 0.0F) || dmin < 0.0F) return;
  out.d = scale_to_f16(d);
  out.dmin = scale_to_f16(dmin);
}

template <int N>
MinLevels<N> fit_levels(const Groups<N>& values, const Uniform& codes, int top) {
  Fit fits[256 / N];
  Fit largest;
  for (int g = 0; g < values.kCount; ++g) {
    fits[g] = search_with_min<Minima::kNotNegative>(values.group[g], codes);
    largest.scale = std::max(largest.scale, fits[g].scale);
    largest.min = std::max(largest.min, fits[g].min);
  }
  const Uniform levels{0.0F, static_cast<float>(top)};
  MinLevels<N> best;
  float least = INFINITY;
  for (const float cut : {0.0F, 0.5F, 1.0F}) {
    MinLevels<N> candidate;
    candidate.d = scale_to_f16(largest.scale / (levels.high - cut));
    candidate.dmin = scale_to_f16(largest.min / (levels.high - cut));
    const float d = f16_to_f32(candidate.d);
    const float dmin = f16_to_f32(candidate.dmin);
    for (int g = 0; g < values.kCount; ++g) {
      candidate.level[g] = d == 0.0F ? 0 : level_of(fits[g].scale / d, levels);
      candidate.min_level[g] = dmin == 0.0F ? 0 : level_of(fits[g].min / dmin, levels);
    }
    for (int round = 0; round < kRounds; ++round) {
      const float error = choose_levels(values, codes, top, candidate);
      if (!(error < least)) break;
      least = error;
      best = candidate;
      refit_outer(values, codes, candidate);
    }
  }
  return best;
}

/// Codes of all 256 values.
template <int N, typename Codes, typename Levels>
void codes_of(const Groups<N>& values, const Codes& range, const Levels& levels, int* codes) {
  for (int g = 0; g < values.kCount; ++g)
    codes_of(values.group[g], range, levels.fit(g), codes + g * N);
}

/// Scales and minima of Q4_K and Q5_K: 6 bits each in 12 bytes (see unpack_scale_min).
void store_scale_min(const MinLevels<32>& levels, uint8_t* scales) {
  std::memset(scales, 0, 12);
  for (int g = 0; g < 4; ++g) {
    const int high_scale = levels.level[g + 4];
    const int high_min = levels.min_level[g + 4];
    scales[g] = static_cast<uint8_t>(levels.level[g] | ((high_scale >> 4) << 6));
    scales[g + 4] = static_cast<uint8_t>(levels.min_level[g] | ((high_min >> 4) << 6));
    scales[g + 8] = static_cast<uint8_t>((high_scale & 15) | ((high_min & 15) << 4));
  }
}

/// Low half-bytes of Q4_K and Q5_K: groups 2 j and 2 j + 1 in qs[32 j ..].
void store_nibbles(const int* codes, uint8_t* qs) {
  for (int j = 0; j < 4; ++j)
    for (int i = 0; i < 32; ++i)
      qs[32 * j + i] =
          static_cast<uint8_t>((codes[64 * j + i] & 15) | ((codes[64 * j + 32 + i] & 15) << 4));
}

/// Two-bit codes of Q2_K and Q3_K.
void store_pairs(const int* codes, uint8_t* qs) {
  std::memset(qs, 0, 64);
  for (int i = 0; i < 256; ++i) {
    uint8_t& byte = qs[32 * (i / 128) + i % 32];
    byte = static_cast<uint8_t>(byte | ((codes[i] & 3) << (2 * (i % 128 / 32))));
  }
}

}  // namespace

void fit_block(const float* x, BlockQ2_K& block) {
  const Groups<16> values(x);
  const Uniform range{0.0F, 3.0F};
  const auto levels = fit_levels(values, range, 15);
  int codes[256];
  codes_of(values, range, levels, codes);
  block.d = levels.d;
  block.dmin = levels.dmin;
  for (int g = 0; g < 16; ++g)
    block.scales[g] = static_cast<uint8_t>(levels.level[g] | (levels.min_level[g] << 4));
  store_pairs(codes, block.qs);
}

void fit_block(const float* x, BlockQ3_K& block) {
  const Groups<16> values(x);
  const Uniform range{-4.0F, 3.0F};
  const auto levels = fit_levels(values, range, Uniform{-32.0F, 31.0F});
  int codes[256];
  codes_of(values, range, levels, codes);
  block.d = levels.d;
  std::memset(block.scales, 0, sizeof(block.scales));
  for (int g = 0; g < 16; ++g) {
    const int level = levels.level[g] + 32;
    uint8_t& low = block.scales[g % 8];
    uint8_t& high = block.scales[8 + g % 4];
    low = static_cast<uint8_t>(low | ((level & 15) << (4 * (g / 8))));
    high = static_cast<uint8_t>(high | ((level >> 4) << (2 * (g / 4))));
  }
  store_pairs(codes, block.qs);
  std::memset(block.hmask, 0, sizeof(block.hmask));
  for (int i = 0; i < 256; ++i)
    block.hmask[i % 32] = static_cast<uint8_t>(block.hmask[i % 32] | ((codes[i] >> 2) << (i / 32)));
}

/// What Q4_K and Q5_K share: all but the codes' fifth bits.
template <typename Block>
static void fit_with_levels(const float* x, float top, Block& block, int (&codes)[256]) {
  const Groups<32> values(x);
  const Uniform range{0.0F, top};
  const auto levels = fit_levels(values, range, 63);
  codes_of(values, range, levels, codes);
  block.d = levels.d;
  block.dmin = levels.dmin;
  store_scale_min(levels, block.scales);
  store_nibbles(codes, block.qs);
}

void fit_block(const float* x, BlockQ4_K& block) {
  int codes[256];
  fit_with_levels(x, 15.0F, block, codes);
}

void fit_block(const float* x, BlockQ5_K& block) {
  int codes[256];
  fit_with_levels(x, 31.0F, block, codes);
  std::memset(block.qh, 0, sizeof(block.qh));
  for (int i = 0; i < 256; ++i)
    block.qh[i % 32] = static_cast<uint8_t>(block.qh[i % 32] | ((codes[i] >> 4) << (i / 32)));
}

void fit_block(const float* x, BlockQ6_K& block) {
  const Groups<16> values(x);
  const Uniform range{-32.0F, 31.0F};
  const auto levels = fit_levels(values, range, Uniform{-128.0F, 127.0F});
  int codes[256];
  codes_of(values, range, levels, codes);
  block.d = levels.d;
  for (int g = 0; g < 16; ++g) block.scales[g] = static_cast<int8_t>(levels.level[g]);
  std::memset(block.ql, 0, sizeof(block.ql));
  std::memset(block.qh, 0, sizeof(block.qh));
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128;
    const int group = i % 128 / 32;
    uint8_t& low = block.ql[64 * half + 32 * (group & 1) + i % 32];
    uint8_t& high = block.qh[32 * half + i % 32];
    low = static_cast<uint8_t>(low | ((codes[i] & 15) << (4 * (group / 2))));
    high = static_cast<uint8_t>(high | ((codes[i] >> 4) << (2 * group)));
  }
}

void fit_block(const float* x, BlockIQ4_XS& block) {
  const Groups<32> values(x);
  const auto levels = fit_levels(values, iq4_table(), Uniform{-32.0F, 31.0F});
  int codes[256];
  codes_of(values, iq4_table(), levels, codes);
  block.d = levels.d;
  block.scales_h = 0;
  std::memset(block.scales_l, 0, sizeof(block.scales_l));
  for (int g = 0; g < 8; ++g) {
    const int level = levels.level[g] + 32;
    uint8_t& low = block.scales_l[g / 2];
    low = static_cast<uint8_t>(low | ((level & 15) << (4 * (g % 2))));
    block.scales_h = static_cast<uint16_t>(block.scales_h | ((level >> 4) << (2 * g)));
  }
  for (int g = 0; g < 8; ++g)
    for (int i = 0; i < 16; ++i)
      block.qs[16 * g + i] =
          static_cast<uint8_t>(codes[32 * g + i] | (codes[32 * g + i + 16] << 4));
}

}  // namespace hearth::quant
