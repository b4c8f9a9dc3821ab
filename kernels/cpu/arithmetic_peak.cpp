#include "kernels/cpu/arithmetic_peak.h"

namespace hearth::kernels {

PeakLoop find_peak_loop(std::string_view isa, Arithmetic arithmetic) {
#if defined(__x86_64__)
  if (isa == "avx512") return peak_loop_avx512(arithmetic);
  if (isa == "avx2") return peak_loop_avx2(arithmetic);
#endif
  static_cast<void>(arithmetic);
  static_cast<void>(isa);
  return nullptr;
}

}  // namespace hearth::kernels
