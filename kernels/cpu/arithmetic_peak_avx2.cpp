#include "kernels/cpu/arithmetic_peak.h"
#include "kernels/cpu/vec_avx2.h"

namespace hearth::kernels {
namespace avx2 {
namespace {

using Ints = __m256i;

inline Ints repeat(int32_t value) { return _mm256_set1_epi32(value); }
inline int32_t first_lane(Ints v) { return _mm256_extract_epi32(v, 0); }
inline Ints multiply16(Ints sum, Ints x) { return _mm256_add_epi32(sum, _mm256_madd_epi16(x, x)); }
inline Ints multiply8(Ints sum, Ints x) {
  const Ints pairs = _mm256_maddubs_epi16(x, x);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#include "kernels/cpu/arithmetic_peak.inc"

}  // namespace
}  // namespace avx2

PeakLoop peak_loop_avx2(Arithmetic arithmetic) { return avx2::peak_loop(arithmetic); }

}  // namespace hearth::kernels
