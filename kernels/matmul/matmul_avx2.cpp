#include "kernels/matmul/matmul.h"
#include "kernels/matmul/simd_matmul.h"

namespace hearth::kernels {
namespace {

struct Avx2 {
  using F = __m256;
  using I = __m256i;
  static constexpr int kLanes = 8;
  // vpmaddubsw adds two products in 16 bits: unsigned codes of 8 bits would saturate.
  static constexpr bool kSignedWide = true;
  // 4 sums, 4 dot products and the temporaries of vpmaddubsw fill the 16 registers.
  static constexpr int kPanels = 1;
  static constexpr int kTileRows = 4;
  static constexpr bool kIndexedDots = false;
  static constexpr bool kWideLoads = false;
  static constexpr int kTileRowsOfHalves = 3;
  // 3 * 4 accumulators, 3 weights and one vector of x fill all 16 registers.
  static constexpr int kFloatTileWeights = 3;
  static constexpr int kFloatTileRows = 4;
  static constexpr bool kFixedPoint = false;  // int16 products are no faster than f32

  HEARTH_HOST_DEVICE static F zero() { return _mm256_setzero_ps(); }
  HEARTH_HOST_DEVICE static F load(const float* p) { return _mm256_loadu_ps(p); }
  HEARTH_HOST_DEVICE static void store(float* p, F v) { _mm256_storeu_ps(p, v); }
  HEARTH_HOST_DEVICE static F set1(float v) { return _mm256_set1_ps(v); }
  HEARTH_HOST_DEVICE static F add(F a, F b) { return _mm256_add_ps(a, b); }
  HEARTH_HOST_DEVICE static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  HEARTH_HOST_DEVICE static F fmadd(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  HEARTH_HOST_DEVICE static F fnmadd(F a, F b, F c) { return _mm256_fnmadd_ps(a, b, c); }
  HEARTH_HOST_DEVICE static F to_float(I v) { return _mm256_cvtepi32_ps(v); }
  HEARTH_HOST_DEVICE static F as_float(I v) { return _mm256_castsi256_ps(v); }
  HEARTH_HOST_DEVICE static I zero_int() { return _mm256_setzero_si256(); }
  HEARTH_HOST_DEVICE static I load_int(const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
  }
  HEARTH_HOST_DEVICE static void store_int(void* p, I v) {
    _mm256_storeu_si256(static_cast<__m256i*>(p), v);
  }
  HEARTH_HOST_DEVICE static void store64(uint8_t* p, __m256i first, __m256i second) {
    store_int(p, first);
    store_int(p + 32, second);
  }
  HEARTH_HOST_DEVICE static I set1(int32_t v) { return _mm256_set1_epi32(v); }
  HEARTH_HOST_DEVICE static I add_int(I a, I b) { return _mm256_add_epi32(a, b); }

  HEARTH_HOST_DEVICE static F load_weights(const float* w) { return load(w); }
  HEARTH_HOST_DEVICE static F load_weights(const simd::F16Word* w) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w)));
  }
  HEARTH_HOST_DEVICE static F load_weights(const simd::BF16Word* w) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(w));
    return as_float(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }

  /// Lanes folded in halves: 8, 4, 2, 1.
  HEARTH_HOST_DEVICE static float sum(F v) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }

  /// acc + products of pairs of int16.
  HEARTH_HOST_DEVICE static I dot16(I acc, I a, I b) {
    return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b));
  }
  /// acc + products of four weights and four signed values. Signed weights give their sign to x,
  /// so that the first factor is unsigned: 2 * 128 * 127 still fits 16 bits.
  template <bool kSigned>
  HEARTH_HOST_DEVICE static I dot_bytes(I acc, I weights, I x) {
    const I pairs =
        kSigned ? _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights))
                : _mm256_maddubs_epi16(weights, x);
    return dot16(acc, pairs, _mm256_set1_epi16(1));
  }

  /// Adjacent lanes of a and b added: per 128 bits a0+a1, a2+a3, b0+b1, b2+b3.
  HEARTH_HOST_DEVICE static I add_pairs(I a, I b) { return _mm256_hadd_epi32(a, b); }

  /// Dot products of 8 groups of 32: dot[h][g] is half h of group g, or dot[0][g] all of it.
  template <bool kSigned, int kHalves>
  HEARTH_HOST_DEVICE static void group_dots(const uint8_t* w, const int8_t* x, I* dot) {
    const auto group = [&](int i) {
      return dot_bytes<kSigned>(zero_int(), load_int(w + 32 * i), load_int(x + 32 * i));
    };
    // 128-bit lane L of a vector is half L of its group.
    const I first = add_pairs(add_pairs(group(0), group(1)), add_pairs(group(2), group(3)));
    const I second = add_pairs(add_pairs(group(4), group(5)), add_pairs(group(6), group(7)));
    dot[0] = _mm256_permute2x128_si256(first, second, 0x20);
    dot[1] = _mm256_permute2x128_si256(first, second, 0x31);
    if constexpr (kHalves == 1) dot[0] = add_int(dot[0], dot[1]);
  }

  /// v[i] lane j <-> v[j] lane i.
  HEARTH_HOST_DEVICE static void transpose(I (&v)[8]) {
    I t[8];
    for (int i = 0; i < 8; i += 2) {
      t[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
      t[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
    }
    // v[4 i + j], 128-bit lane L: rows 4 i … 4 i + 3 of column 4 L + j.
    for (int i = 0; i < 8; i += 4) {
      v[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
      v[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
      v[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
      v[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int j = 0; j < 4; ++j) {
      t[j] = _mm256_permute2x128_si256(v[j], v[j + 4], 0x20);
      t[j + 4] = _mm256_permute2x128_si256(v[j], v[j + 4], 0x31);
    }
    for (int i = 0; i < 8; ++i) v[i] = t[i];
  }

  HEARTH_HOST_DEVICE static I set_bytes(int v) { return _mm256_set1_epi8(static_cast<char>(v)); }
  HEARTH_HOST_DEVICE static I repeat128(simd::Bytes16 v) { return _mm256_broadcastsi128_si256(v); }
  HEARTH_HOST_DEVICE static I and_bits(I a, I b) { return _mm256_and_si256(a, b); }
  HEARTH_HOST_DEVICE static I or_bits(I a, I b) { return _mm256_or_si256(a, b); }
  HEARTH_HOST_DEVICE static I xor_bits(I a, I b) { return _mm256_xor_si256(a, b); }
  HEARTH_HOST_DEVICE static I sub_bytes(I a, I b) { return _mm256_sub_epi8(a, b); }
  template <int kBits>
  HEARTH_HOST_DEVICE static I shift_right16(I v) {
    return kBits == 0 ? v : _mm256_srli_epi16(v, kBits);
  }
  template <int kBits>
  HEARTH_HOST_DEVICE static I shift_left16(I v) {
    return _mm256_slli_epi16(v, kBits);
  }
  template <int kBits>
  HEARTH_HOST_DEVICE static I shift_right32(I v) {
    return kBits == 0 ? v : _mm256_srli_epi32(v, kBits);
  }
  template <int kBits>
  HEARTH_HOST_DEVICE static I shift_left32(I v) {
    return kBits == 0 ? v : _mm256_slli_epi32(v, kBits);
  }
  template <int kBits>
  HEARTH_HOST_DEVICE static I shift_right_signed32(I v) {
    return _mm256_srai_epi32(v, kBits);
  }
  /// Within 128-bit lanes.
  HEARTH_HOST_DEVICE static I shuffle_bytes(I v, I index) { return _mm256_shuffle_epi8(v, index); }
  HEARTH_HOST_DEVICE static I unpack_low32(I a, I b) { return _mm256_unpacklo_epi32(a, b); }
  HEARTH_HOST_DEVICE static I unpack_high32(I a, I b) { return _mm256_unpackhi_epi32(a, b); }
  HEARTH_HOST_DEVICE static I unpack_low64(I a, I b) { return _mm256_unpacklo_epi64(a, b); }
  HEARTH_HOST_DEVICE static I unpack_high64(I a, I b) { return _mm256_unpackhi_epi64(a, b); }

  /// 16 bytes at row(0), row(1) in the 128-bit lanes.
  template <typename Row>
  HEARTH_HOST_DEVICE static I load_quads(const Row& row) {
    const auto quad = [&](size_t lane) HEARTH_INLINE_LAMBDA {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(row(lane)));
    };
    return _mm256_inserti128_si256(_mm256_castsi128_si256(quad(0)), quad(1), 1);
  }
  /// The bytes whose bit of `bits` is set are negated.
  HEARTH_HOST_DEVICE static __m256i negate_where(__m256i bytes, uint32_t bits) {
    const __m256i is_set = simd::bytes_where(bits);
    return _mm256_sub_epi8(_mm256_xor_si256(bytes, is_set), is_set);
  }
  /// 16 added to the bytes whose bit of `bits` that `select` names is set.
  HEARTH_HOST_DEVICE static I add16_where(I codes, I bits, I select) {
    const I is_set = _mm256_cmpeq_epi8(_mm256_and_si256(bits, select), select);
    return _mm256_or_si256(codes, _mm256_and_si256(is_set, set_bytes(16)));
  }

  /// The lower and the upper half of each word, widened from f16.
  HEARTH_HOST_DEVICE static F f16_low(I words) { return f16_high(_mm256_slli_epi32(words, 16)); }
  HEARTH_HOST_DEVICE static F f16_high(I words) {
    const I halves = _mm256_srli_epi32(words, 16);
    const I packed = _mm256_packus_epi32(halves, halves);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x88)));
  }
  HEARTH_HOST_DEVICE static F negate(F v) { return _mm256_xor_ps(v, set1(-0.0F)); }
};

}  // namespace

void matmul_avx2(const ExecContext& context, const ActivationView& x, const MatmulArgs* jobs,
                 int num_jobs) {
  simd::matmul<Avx2>(context, x, jobs, num_jobs);
}

}  // namespace hearth::kernels
