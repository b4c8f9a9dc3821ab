#include "kernels/cpu/arithmetic_peak.h"
#include "kernels/cpu/vec_avx512.h"

namespace hearth::kernels {
namespace avx512 {
namespace {

using Ints = __m512i;

inline Ints repeat(int32_t value) { return _mm512_set1_epi32(value); }
inline int32_t first_lane(Ints v) { return _mm_cvtsi128_si32(_mm512_castsi512_si128(v)); }
inline Ints multiply16(Ints sum, Ints x) { return _mm512_dpwssd_epi32(sum, x, x); }
inline Ints multiply8(Ints sum, Ints x) { return _mm512_dpbusd_epi32(sum, x, x); }

#include "kernels/cpu/arithmetic_peak.inc"

}  // namespace
}  // namespace avx512

PeakLoop peak_loop_avx512(Arithmetic arithmetic) { return avx512::peak_loop(arithmetic); }

}  // namespace hearth::kernels
