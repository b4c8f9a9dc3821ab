#include "kernels/matmul/matmul.h"
#include "kernels/matmul/row_unpack_avx512.h"
#include "kernels/matmul/simd_matmul.h"

namespace hearth::kernels {
namespace {

struct Avx512 {
  using F = __m512;
  using I = __m512i;
  static constexpr int kLanes = 16;
  static constexpr bool kSignedWide = false;  // vpdpbusd takes unsigned weights of 8 bits
  // 12 sums, 12 dot products, 2 weights and a value of x fill 27 of 32 registers; each value of x
  // is loaded for two dot products, each weight for six, so that the loads are not the limit.
  static constexpr int kPanels = 2;
  static constexpr int kTileRows = 6;
  static constexpr bool kIndexedDots = false;
  static constexpr bool kWideLoads = true;
  static constexpr int kTileRowsOfHalves = 4;  // two dot products each
  // 4 * 6 accumulators, 4 weights, which cost two operations each to widen, and one vector of x.
  static constexpr int kFloatTileWeights = 4;
  static constexpr int kFloatTileRows = 6;
  // 24 accumulators, 3 vectors of x, which come from L2, and one of weights, from L1.
  static constexpr bool kFixedPoint = true;
  using FixedTile = simd::FixedTile<8, 3>;

  HEARTH_HOST_DEVICE static F zero() { return _mm512_setzero_ps(); }
  HEARTH_HOST_DEVICE static F load(const float* p) { return _mm512_loadu_ps(p); }
  HEARTH_HOST_DEVICE static void store(float* p, F v) { _mm512_storeu_ps(p, v); }
  HEARTH_HOST_DEVICE static F set1(float v) { return _mm512_set1_ps(v); }
  HEARTH_HOST_DEVICE static F add(F a, F b) { return _mm512_add_ps(a, b); }
  HEARTH_HOST_DEVICE static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  HEARTH_HOST_DEVICE static F fmadd(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  HEARTH_HOST_DEVICE static F fnmadd(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }
  HEARTH_HOST_DEVICE static F to_float(I v) { return _mm512_cvtepi32_ps(v); }
  HEARTH_HOST_DEVICE static F as_float(I v) { return _mm512_castsi512_ps(v); }
  HEARTH_HOST_DEVICE static I zero_int() { return _mm512_setzero_si512(); }
  HEARTH_HOST_DEVICE static I load_int(const void* p) { return _mm512_loadu_si512(p); }
  HEARTH_HOST_DEVICE static void store_int(void* p, I v) { _mm512_storeu_si512(p, v); }
  HEARTH_HOST_DEVICE static void store64(uint8_t* p, __m256i first, __m256i second) {
    store_int(p, _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1));
  }
  template <typename Block>
  HEARTH_HOST_DEVICE static void unpack_full(const Block* blocks, simd::Chunk& chunk) {
    simd::unpack_full_avx512(blocks, chunk);
  }
  HEARTH_HOST_DEVICE static I set1(int32_t v) { return _mm512_set1_epi32(v); }
  HEARTH_HOST_DEVICE static I add_int(I a, I b) { return _mm512_add_epi32(a, b); }

  HEARTH_HOST_DEVICE static F load_weights(const float* w) { return load(w); }
  HEARTH_HOST_DEVICE static F load_weights(const simd::F16Word* w) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)));
  }
  HEARTH_HOST_DEVICE static F load_weights(const simd::BF16Word* w) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w));
    return as_float(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }

  /// Lanes folded in halves: 16, 8, 4, 2, 1.
  HEARTH_HOST_DEVICE static float sum(F v) {
    const __m256 low = _mm512_castps512_ps256(v);
    const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1));
    const __m256 eight = _mm256_add_ps(low, high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }

  /// Both vectors rounded to int16, within 128-bit lanes: four of `a`, four of `b`.
  HEARTH_HOST_DEVICE static I round_to_int16(F a, F b) {
    return _mm512_packs_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b));
  }
  HEARTH_HOST_DEVICE static I max_words(I a, I b) { return _mm512_max_epu16(a, b); }
  HEARTH_HOST_DEVICE static uint16_t largest_word(I v) {
    const __m256i half =
        _mm256_max_epu16(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    const __m128i eight =
        _mm_max_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    const __m128i least = _mm_minpos_epu16(_mm_xor_si128(eight, _mm_set1_epi16(-1)));
    return static_cast<uint16_t>(~_mm_extract_epi16(least, 0));
  }
  /// The largest magnitude of `count` values; a NaN is the largest of all.
  HEARTH_HOST_DEVICE static float largest_float(const float* x, int64_t count) {
    const I magnitude = set1(0x7FFFFFFF);
    I most = zero_int();
    for (int64_t k = 0; k < count; k += kLanes) {
      const int64_t left = count - k;
      const __mmask16 mask = static_cast<__mmask16>(left < kLanes ? (1 << left) - 1 : 0xFFFF);
      most = _mm512_max_epi32(most,
                              _mm512_and_si512(_mm512_maskz_loadu_epi32(mask, x + k), magnitude));
    }
    return float_from_bits(static_cast<uint32_t>(_mm512_reduce_max_epi32(most)));
  }

  /// acc + products of pairs of int16.
  HEARTH_HOST_DEVICE static I dot16(I acc, I a, I b) { return _mm512_dpwssd_epi32(acc, a, b); }
  /// The same, for loops that hold many sums: GCC 12 copies those of the intrinsic from register to
  /// register, and some through memory.
  HEARTH_HOST_DEVICE static void add_dot16(I& acc, I a, I b) {
    asm("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
  }
  /// acc + products of four unsigned weights and four signed values.
  template <bool kSigned>
  HEARTH_HOST_DEVICE static I dot_bytes(I acc, I weights, I x) {
    static_assert(!kSigned);
    return _mm512_dpbusd_epi32(acc, weights, x);
  }

  /// Adjacent lanes of a and b added: per 128 bits a0+a1, a2+a3, b0+b1, b2+b3.
  HEARTH_HOST_DEVICE static I add_pairs(I a, I b) {
    const F even = _mm512_shuffle_ps(as_float(a), as_float(b), 0x88);
    const F odd = _mm512_shuffle_ps(as_float(a), as_float(b), 0xDD);
    return _mm512_add_epi32(_mm512_castps_si512(even), _mm512_castps_si512(odd));
  }

  /// Dot products of 16 groups of 32: dot[h][g] is half h of group g, or dot[0][g] all of it.
  template <bool kSigned, int kHalves>
  HEARTH_HOST_DEVICE static void group_dots(const uint8_t* w, const int8_t* x, I* dot) {
    const auto two_groups = [&](int i) {
      return dot_bytes<kSigned>(zero_int(), load_int(w + 64 * i), load_int(x + 64 * i));
    };
    // 128-bit lane L of vector i is half L % 2 of group 2 i + L / 2. Two rounds of pairwise sums
    // leave one number for each: lane L holds vectors 0 to 3 (4 to 7) in order.
    const I first =
        add_pairs(add_pairs(two_groups(0), two_groups(1)), add_pairs(two_groups(2), two_groups(3)));
    const I second =
        add_pairs(add_pairs(two_groups(4), two_groups(5)), add_pairs(two_groups(6), two_groups(7)));
    const I half0 = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 16, 24, 17, 25, 18, 26, 19, 27);
    const I half1 = _mm512_add_epi32(half0, _mm512_set1_epi32(4));
    dot[0] = _mm512_permutex2var_epi32(first, half0, second);
    dot[1] = _mm512_permutex2var_epi32(first, half1, second);
    if constexpr (kHalves == 1) dot[0] = add_int(dot[0], dot[1]);
  }

  /// v[i] lane j <-> v[j] lane i.
  HEARTH_HOST_DEVICE static void transpose(I (&v)[16]) {
    I t[16];
    for (int i = 0; i < 16; i += 2) {
      t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
      t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    // v[4 i + j], 128-bit lane L: rows 4 i … 4 i + 3 of column 4 L + j.
    for (int i = 0; i < 16; i += 4) {
      v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
      v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
      v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
      v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int j = 0; j < 4; ++j) {
      const I low0 = _mm512_shuffle_i32x4(v[j], v[j + 4], 0x88);   // columns j, 8 + j
      const I high0 = _mm512_shuffle_i32x4(v[j], v[j + 4], 0xDD);  // columns 4 + j, 12 + j
      const I low1 = _mm512_shuffle_i32x4(v[j + 8], v[j + 12], 0x88);
      const I high1 = _mm512_shuffle_i32x4(v[j + 8], v[j + 12], 0xDD);
      t[j] = _mm512_shuffle_i32x4(low0, low1, 0x88);
      t[j + 8] = _mm512_shuffle_i32x4(low0, low1, 0xDD);
      t[j + 4] = _mm512_shuffle_i32x4(high0, high1, 0x88);
      t[j + 12] = _mm512_shuffle_i32x4(high0, high1, 0xDD);
    }
    for (int i = 0; i < 16; ++i) v[i] = t[i];
  }

  HEARTH_HOST_DEVICE static I set_bytes(int v) { return _mm512_set1_epi8(static_cast<char>(v)); }
  HEARTH_HOST_DEVICE static I repeat128(simd::Bytes16 v) { return _mm512_broadcast_i32x4(v); }
  HEARTH_HOST_DEVICE static I and_bits(I a, I b) { return _mm512_and_si512(a, b); }
  HEARTH_HOST_DEVICE static I or_bits(I a, I b) { return _mm512_or_si512(a, b); }
  HEARTH_HOST_DEVICE static I xor_bits(I a, I b) { return _mm512_xor_si512(a, b); }
  HEARTH_HOST_DEVICE static I sub_bytes(I a, I b) { return _mm512_sub_epi8(a, b); }
  template <int kBits>
  HEARTH_HOST_DEVICE static I shift_right16(I v) {
    return kBits == 0 ? v : _mm512_srli_epi16(v, kBits);
  }
  template <int kBits>
  HEARTH_HOST_DEVICE static I shift_left16(I v) {
    return _mm512_slli_epi16(v, kBits);
  }
  template <int kBits>
  HEARTH_HOST_DEVICE static I shift_right32(I v) {
    return kBits == 0 ? v : _mm512_srli_epi32(v, kBits);
  }
  template <int kBits>
  HEARTH_HOST_DEVICE static I shift_left32(I v) {
    return kBits == 0 ? v : _mm512_slli_epi32(v, kBits);
  }
  template <int kBits>
  HEARTH_HOST_DEVICE static I shift_right_signed32(I v) {
    return _mm512_srai_epi32(v, kBits);
  }
  /// Within 128-bit lanes.
  HEARTH_HOST_DEVICE static I shuffle_bytes(I v, I index) { return _mm512_shuffle_epi8(v, index); }
  HEARTH_HOST_DEVICE static I unpack_low32(I a, I b) { return _mm512_unpacklo_epi32(a, b); }
  HEARTH_HOST_DEVICE static I unpack_high32(I a, I b) { return _mm512_unpackhi_epi32(a, b); }
  HEARTH_HOST_DEVICE static I unpack_low64(I a, I b) { return _mm512_unpacklo_epi64(a, b); }
  HEARTH_HOST_DEVICE static I unpack_high64(I a, I b) { return _mm512_unpackhi_epi64(a, b); }

  /// 16 bytes at row(0), row(1), … in the 128-bit lanes.
  template <typename Row>
  HEARTH_HOST_DEVICE static I load_quads(const Row& row) {
    const auto quad = [&](size_t lane) HEARTH_INLINE_LAMBDA {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(row(lane)));
    };
    I v = _mm512_castsi128_si512(quad(0));
    v = _mm512_inserti32x4(v, quad(1), 1);
    v = _mm512_inserti32x4(v, quad(2), 2);
    return _mm512_inserti32x4(v, quad(3), 3);
  }
  /// The first kBytes bytes; none past them is touched.
  template <size_t kBytes>
  HEARTH_HOST_DEVICE static I load_bytes(const uint8_t* p) {
    return _mm512_maskz_loadu_epi8(~uint64_t{0} >> (64 - kBytes), p);
  }
  HEARTH_HOST_DEVICE static I permute_words(I index, I v) {
    return _mm512_permutexvar_epi16(index, v);
  }
  /// 128-bit lane i of lanes[k] is lane k of v[i].
  HEARTH_HOST_DEVICE static void transpose_lanes(const I (&v)[4], I (&lanes)[4]) {
    const I low01 = _mm512_shuffle_i32x4(v[0], v[1], 0x44);
    const I high01 = _mm512_shuffle_i32x4(v[0], v[1], 0xEE);
    const I low23 = _mm512_shuffle_i32x4(v[2], v[3], 0x44);
    const I high23 = _mm512_shuffle_i32x4(v[2], v[3], 0xEE);
    lanes[0] = _mm512_shuffle_i32x4(low01, low23, 0x88);
    lanes[1] = _mm512_shuffle_i32x4(low01, low23, 0xDD);
    lanes[2] = _mm512_shuffle_i32x4(high01, high23, 0x88);
    lanes[3] = _mm512_shuffle_i32x4(high01, high23, 0xDD);
  }
  HEARTH_HOST_DEVICE static I permute_bytes(I index, I v) {
    return _mm512_permutexvar_epi8(index, v);
  }
  /// The bytes whose bit of `bits` is set are negated.
  HEARTH_HOST_DEVICE static __m256i negate_where(__m256i bytes, uint32_t bits) {
    return _mm256_mask_sub_epi8(bytes, bits, _mm256_setzero_si256(), bytes);
  }
  /// 16 added to the bytes whose bit of `bits` that `select` names is set.
  HEARTH_HOST_DEVICE static I add16_where(I codes, I bits, I select) {
    return _mm512_mask_add_epi8(codes, _mm512_test_epi8_mask(bits, select), codes, set_bytes(16));
  }

  /// The lower and the upper half of each word, widened from f16.
  HEARTH_HOST_DEVICE static F f16_low(I words) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words));
  }
  HEARTH_HOST_DEVICE static F f16_high(I words) { return f16_low(shift_right32<16>(words)); }
  HEARTH_HOST_DEVICE static F negate(F v) { return _mm512_xor_ps(v, set1(-0.0F)); }
};

}  // namespace

void matmul_avx512(const ExecContext& context, const ActivationView& x, const MatmulArgs* jobs,
                   int num_jobs) {
  simd::matmul<Avx512>(context, x, jobs, num_jobs);
}

}  // namespace hearth::kernels
