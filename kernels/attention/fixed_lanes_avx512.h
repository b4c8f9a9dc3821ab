#pragma once
// Where queries and tokens lie in a vector, for attention in fixed point. Included after
// fixed_tile_avx512.h.
//
// A vector of scores holds kParts = 16 / Q tokens for each of Q queries. It comes from kParts sums
// of products, one for each token, whose lanes hold kParts partial sums of each query: a dword of q
// in every lane, and kParts dwords of K, from memory, over and over. Sums of whole numbers are
// exact: every Q gives the same scores, and a query may be anywhere among any others.

namespace hearth::kernels::avx512 {

/// A pair of int16 as the instructions read it.
using Dword __attribute__((may_alias)) = int32_t;

/// sum += products of a and b, pair by pair. The intrinsic costs GCC 12 two copies of `sum`, which
/// are more instructions than the loops have room for.
inline void add_products(__m512i& sum, __m512i a, __m512i b) {
  asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}
/// The same with one dword in all lanes of b.
inline void add_products(__m512i& sum, __m512i a, const Dword* b) {
  asm("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(a), "m"(*b));
}

template <int Q>
struct Lanes {
  static_assert(Q == 1 || Q == 4 || Q == 8 || Q == 16);
  static constexpr int kParts = kLanes / Q;
  static constexpr int kVectors = kTileTokens / kParts;  // of the scores of a tile

  /// The lane of a query and a token of a vector of scores, as add_parts() leaves them.
  static constexpr int score_lane(int query, int token) {
    return Q == 8 ? query / 2 * 4 + token * 2 + query % 2 : query * kParts + token;
  }

  /// sum += products of `queries` and the kParts dwords of a token's K from `k` on.
  static void add_keys(__m512i& sum, __m512i queries, const int16_t* k) {
    if constexpr (kParts == 1) {
      add_products(sum, queries, reinterpret_cast<const Dword*>(k));
    } else if constexpr (kParts == 2) {
      int64_t dwords;
      __builtin_memcpy(&dwords, k, sizeof dwords);
      add_products(sum, queries, _mm512_set1_epi64(dwords));
    } else if constexpr (kParts == 4) {
      add_products(sum, queries,
                   _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(k))));
    } else {
      add_products(sum, queries, _mm512_load_si512(k));
    }
  }

  /// kParts values from `p` on, in the score lanes of their tokens.
  static __m512i tokens(const int32_t* p) {
    if constexpr (kParts == 1) {
      return _mm512_set1_epi32(*p);
    } else if constexpr (kParts == 2) {
      int64_t pair;
      __builtin_memcpy(&pair, p, sizeof pair);
      return _mm512_shuffle_epi32(_mm512_set1_epi64(pair), static_cast<_MM_PERM_ENUM>(0x50));
    } else if constexpr (kParts == 4) {
      return _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
    } else {
      return _mm512_load_si512(p);
    }
  }
  static Vec tokens(const float* p) {
    return {_mm512_castsi512_ps(tokens(reinterpret_cast<const int32_t*>(p)))};
  }

  /// Even lanes of a, then of b, in each quarter, plus the odd ones.
  static __m512i add_pairs(__m512i a, __m512i b) {
    const __m512 low = _mm512_castsi512_ps(a);
    const __m512 high = _mm512_castsi512_ps(b);
    return _mm512_add_epi32(_mm512_castps_si512(_mm512_shuffle_ps(low, high, 0x88)),
                            _mm512_castps_si512(_mm512_shuffle_ps(low, high, 0xDD)));
  }
  /// The same with quarters of the vector for lanes.
  static __m512i add_quarters(__m512i a, __m512i b) {
    return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xDD));
  }

  /// The vectors of scores of 16 tokens, from the sums of each.
  static void add_parts(const __m512i (&sums)[16], __m512i (&scores)[Q]) {
    if constexpr (kParts == 1) {
#pragma GCC unroll 16
      for (int i = 0; i < Q; ++i) scores[i] = sums[i];
    } else if constexpr (kParts == 2) {
#pragma GCC unroll 16
      for (int i = 0; i < Q; ++i) scores[i] = add_pairs(sums[2 * i], sums[2 * i + 1]);
    } else {
      __m512i fours[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i)
        fours[i] = add_pairs(add_pairs(sums[4 * i], sums[4 * i + 1]),
                             add_pairs(sums[4 * i + 2], sums[4 * i + 3]));
      if constexpr (kParts == 4) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) scores[i] = fours[i];
      } else {
        scores[0] =
            add_quarters(add_quarters(fours[0], fours[1]), add_quarters(fours[2], fours[3]));
      }
    }
  }

  /// f(a, b) over the tokens of a vector, in every lane: i with i + kParts / 2 first, neighbours
  /// last.
  template <typename F>
  static Vec fold_tokens(Vec x, const F& f) {
    if constexpr (kParts == 16) {
      x = f(x, {_mm512_shuffle_f32x4(x.v, x.v, 0x4E)});
      x = f(x, {_mm512_shuffle_f32x4(x.v, x.v, 0xB1)});
    }
    if constexpr (kParts >= 4) {
      x = f(x, {_mm512_permute_ps(x.v, 0x4E)});
      x = f(x, {_mm512_permute_ps(x.v, 0xB1)});
    } else if constexpr (kParts == 2) {
      x = f(x, {_mm512_permute_ps(x.v, 0x4E)});
    }
    return x;
  }

  /// Words of two vectors of scores as [kParts pairs of tokens][Q], the lower words of their lanes.
  static __m512i pair_tokens(__m512i first, __m512i second) {
    alignas(64) static constexpr PairOrder kOrder = pair_order();
    return _mm512_permutex2var_epi16(first, _mm512_load_si512(kOrder.word), second);
  }

 private:
  struct PairOrder {
    uint16_t word[32];
  };
  static constexpr PairOrder pair_order() {
    PairOrder order{};
    for (int i = 0; i < 32; ++i) {
      const int token = 2 * (i / 2 / Q) + i % 2;
      const int lane = score_lane(i / 2 % Q, token % kParts);
      order.word[i] = static_cast<uint16_t>(2 * lane + (token < kParts ? 0 : 32));
    }
    return order;
  }
};

}  // namespace hearth::kernels::avx512
