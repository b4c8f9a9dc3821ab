#pragma once

#include <cstdint>

#include "kernels/quant/half.h"

namespace hearth::kernels::simd {

/// Asks for the lines of a range, a few at a time: weights come from memory in file order, long
/// before they are needed, whatever the order in which the rows of a tile are read.
class LinePrefetch {
 public:
  HEARTH_HOST_DEVICE void set(const uint8_t* begin, const uint8_t* end) {
    next_ = begin;
    end_ = end;
  }
  HEARTH_HOST_DEVICE void lines(int count) {
    for (int i = 0; i < count; ++i) {
      if (next_ >= end_) return;
      __builtin_prefetch(next_);
      next_ += 64;
    }
  }

 private:
  const uint8_t* next_ = nullptr;
  const uint8_t* end_ = nullptr;
};

}  // namespace hearth::kernels::simd
