#include "kernels/matmul/matmul.h"
#include "kernels/matmul/simd_matmul.h"

namespace hearth::kernels {
namespace {

struct Neon {
  using F = float32x4_t;
  using I = int32x4_t;
  static constexpr int kLanes = 4;
  static constexpr bool kSignedWide = true;  // sdot multiplies signed bytes by signed bytes
  // 12 sums, 12 dot products, 4 weights and 3 vectors of x fill 31 of 32 registers; a vector of x,
  // loaded once, serves four steps by its index.
  static constexpr int kPanels = 4;
  static constexpr int kTileRows = 3;
  static constexpr bool kIndexedDots = true;
  static constexpr bool kWideLoads = false;
  static constexpr int kTileRowsOfHalves = 2;  // two dot products each
  // 6 * 4 accumulators, 6 weights and one vector of x fill 31 of 32 registers.
  static constexpr int kFloatTileWeights = 6;
  static constexpr int kFloatTileRows = 4;
  static constexpr bool kFixedPoint = false;  // int16 products are no faster than f32

  HEARTH_HOST_DEVICE static F zero() { return vdupq_n_f32(0.0F); }
  HEARTH_HOST_DEVICE static F load(const float* p) { return vld1q_f32(p); }
  HEARTH_HOST_DEVICE static void store(float* p, F v) { vst1q_f32(p, v); }
  HEARTH_HOST_DEVICE static F set1(float v) { return vdupq_n_f32(v); }
  HEARTH_HOST_DEVICE static F add(F a, F b) { return vaddq_f32(a, b); }
  HEARTH_HOST_DEVICE static F mul(F a, F b) { return vmulq_f32(a, b); }
  HEARTH_HOST_DEVICE static F fmadd(F a, F b, F c) { return vfmaq_f32(c, a, b); }
  HEARTH_HOST_DEVICE static F fnmadd(F a, F b, F c) { return vfmsq_f32(c, a, b); }
  HEARTH_HOST_DEVICE static F to_float(I v) { return vcvtq_f32_s32(v); }
  HEARTH_HOST_DEVICE static F as_float(I v) { return vreinterpretq_f32_s32(v); }
  HEARTH_HOST_DEVICE static I zero_int() { return vdupq_n_s32(0); }
  HEARTH_HOST_DEVICE static I load_int(const void* p) {
    return of_bytes(vld1q_u8(static_cast<const uint8_t*>(p)));
  }
  HEARTH_HOST_DEVICE static void store_int(void* p, I v) {
    vst1q_u8(static_cast<uint8_t*>(p), bytes(v));
  }
  HEARTH_HOST_DEVICE static void store64(uint8_t* p, simd::Bytes32 first, simd::Bytes32 second) {
    simd::store32(p, first);
    simd::store32(p + 32, second);
  }
  HEARTH_HOST_DEVICE static I set1(int32_t v) { return vdupq_n_s32(v); }
  HEARTH_HOST_DEVICE static I add_int(I a, I b) { return vaddq_s32(a, b); }

  HEARTH_HOST_DEVICE static F load_weights(const float* w) { return load(w); }
  HEARTH_HOST_DEVICE static F load_weights(const simd::F16Word* w) {
    return vcvt_f32_f16(vreinterpret_f16_u16(load_halves(w)));
  }
  HEARTH_HOST_DEVICE static F load_weights(const simd::BF16Word* w) {
    return vreinterpretq_f32_u32(vshll_n_u16(load_halves(w), 16));
  }

  /// Lanes folded in halves: 4, 2, 1.
  HEARTH_HOST_DEVICE static float sum(F v) {
    return vaddv_f32(vadd_f32(vget_low_f32(v), vget_high_f32(v)));
  }

  /// acc + products of pairs of int16.
  HEARTH_HOST_DEVICE static I dot16(I acc, I a, I b) {
    const int16x8_t x = vreinterpretq_s16_s32(a);
    const int16x8_t y = vreinterpretq_s16_s32(b);
    const I low = vmull_s16(vget_low_s16(x), vget_low_s16(y));
    return vaddq_s32(acc, vpaddq_s32(low, vmull_high_s16(x, y)));
  }
  /// acc + products of four signed weights and the four values of lane kLane of x.
  template <int kLane>
  HEARTH_HOST_DEVICE static I dot_indexed(I acc, I weights, I x) {
    return vdotq_laneq_s32(acc, vreinterpretq_s8_s32(weights), vreinterpretq_s8_s32(x), kLane);
  }

  /// Dot products of 4 groups of 32: dot[h][g] is half h of group g, or dot[0][g] all of it.
  template <bool kSigned, int kHalves>
  HEARTH_HOST_DEVICE static void group_dots(const uint8_t* w, const int8_t* x, I* dot) {
    const auto half = [&](I acc, int at) HEARTH_INLINE_LAMBDA {
      return vdotq_s32(acc, vreinterpretq_s8_u8(vld1q_u8(w + 16 * at)), vld1q_s8(x + 16 * at));
    };
    const auto group = [&](int g, int h) HEARTH_INLINE_LAMBDA {
      const I products = half(zero_int(), 2 * g + h);
      return kHalves == 1 ? half(products, 2 * g + 1) : products;
    };
    for (int h = 0; h < kHalves; ++h)
      dot[h] =
          vpaddq_s32(vpaddq_s32(group(0, h), group(1, h)), vpaddq_s32(group(2, h), group(3, h)));
  }

  /// v[i] lane j <-> v[j] lane i.
  HEARTH_HOST_DEVICE static void transpose(I (&v)[4]) {
    const I a = vzip1q_s32(v[0], v[2]);
    const I b = vzip1q_s32(v[1], v[3]);
    const I c = vzip2q_s32(v[0], v[2]);
    const I d = vzip2q_s32(v[1], v[3]);
    v[0] = vzip1q_s32(a, b);
    v[1] = vzip2q_s32(a, b);
    v[2] = vzip1q_s32(c, d);
    v[3] = vzip2q_s32(c, d);
  }

  HEARTH_HOST_DEVICE static I set_bytes(int v) { return of_bytes(simd::repeat16(v)); }
  HEARTH_HOST_DEVICE static I repeat128(simd::Bytes16 v) { return of_bytes(v); }
  HEARTH_HOST_DEVICE static I and_bits(I a, I b) { return vandq_s32(a, b); }
  HEARTH_HOST_DEVICE static I or_bits(I a, I b) { return vorrq_s32(a, b); }
  HEARTH_HOST_DEVICE static I xor_bits(I a, I b) { return veorq_s32(a, b); }
  HEARTH_HOST_DEVICE static I sub_bytes(I a, I b) { return of_bytes(vsubq_u8(bytes(a), bytes(b))); }
  template <int kBits>
  HEARTH_HOST_DEVICE static I shift_right16(I v) {
    if constexpr (kBits == 0)
      return v;
    else
      return vreinterpretq_s32_u16(vshrq_n_u16(vreinterpretq_u16_s32(v), kBits));
  }
  template <int kBits>
  HEARTH_HOST_DEVICE static I shift_left16(I v) {
    return vreinterpretq_s32_s16(vshlq_n_s16(vreinterpretq_s16_s32(v), kBits));
  }
  template <int kBits>
  HEARTH_HOST_DEVICE static I shift_right32(I v) {
    if constexpr (kBits == 0)
      return v;
    else
      return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(v), kBits));
  }
  template <int kBits>
  HEARTH_HOST_DEVICE static I shift_left32(I v) {
    return vshlq_n_s32(v, kBits);
  }
  template <int kBits>
  HEARTH_HOST_DEVICE static I shift_right_signed32(I v) {
    return vshrq_n_s32(v, kBits);
  }
  HEARTH_HOST_DEVICE static I shuffle_bytes(I v, I index) {
    return of_bytes(vqtbl1q_u8(bytes(v), bytes(index)));
  }
  HEARTH_HOST_DEVICE static I unpack_low32(I a, I b) { return vzip1q_s32(a, b); }
  HEARTH_HOST_DEVICE static I unpack_high32(I a, I b) { return vzip2q_s32(a, b); }
  HEARTH_HOST_DEVICE static I unpack_low64(I a, I b) {
    return vreinterpretq_s32_s64(vzip1q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b)));
  }
  HEARTH_HOST_DEVICE static I unpack_high64(I a, I b) {
    return vreinterpretq_s32_s64(vzip2q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b)));
  }

  /// 16 bytes at row(0).
  template <typename Row>
  HEARTH_HOST_DEVICE static I load_quads(const Row& row) {
    return load_int(row(size_t{0}));
  }
  /// The bytes whose bit of `bits` is set are negated.
  HEARTH_HOST_DEVICE static simd::Bytes32 negate_where(simd::Bytes32 v, uint32_t bits) {
    const simd::Bytes32 is_set = simd::bytes_where(bits);
    return simd::sub_bytes(simd::xor_bytes(v, is_set), is_set);
  }
  /// 16 added to the bytes whose bit of `bits` that `select` names is set.
  HEARTH_HOST_DEVICE static I add16_where(I codes, I bits, I select) {
    const uint8x16_t is_set = vtstq_u8(bytes(bits), bytes(select));
    return or_bits(codes, of_bytes(vandq_u8(is_set, simd::repeat16(16))));
  }

  /// The lower and the upper half of each word, widened from f16.
  HEARTH_HOST_DEVICE static F f16_low(I words) {
    return vcvt_f32_f16(vreinterpret_f16_s16(vmovn_s32(words)));
  }
  HEARTH_HOST_DEVICE static F f16_high(I words) {
    return vcvt_f32_f16(vreinterpret_f16_s16(vshrn_n_s32(words, 16)));
  }
  HEARTH_HOST_DEVICE static F negate(F v) { return vnegq_f32(v); }

 private:
  HEARTH_HOST_DEVICE static uint8x16_t bytes(I v) { return vreinterpretq_u8_s32(v); }
  HEARTH_HOST_DEVICE static I of_bytes(uint8x16_t v) { return vreinterpretq_s32_u8(v); }
  HEARTH_HOST_DEVICE static uint16x4_t load_halves(const void* p) {
    return vreinterpret_u16_u8(vld1_u8(static_cast<const uint8_t*>(p)));
  }
};

}  // namespace

void matmul_neon(const ExecContext& context, const ActivationView& x, const MatmulArgs* jobs,
                 int num_jobs) {
  simd::matmul<Neon>(context, x, jobs, num_jobs);
}

}  // namespace hearth::kernels
