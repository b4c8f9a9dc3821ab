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
    if (next_ < end_) touch();
  }
  HEARTH_HOST_DEVICE void lines(int count) {
    for (int i = 0; i < count; ++i) {
      if (next_ >= end_) return;
      if (reinterpret_cast<uintptr_t>(next_) % kFaultBytes < 64) touch();
      __builtin_prefetch(next_);
      next_ += 64;
    }
  }

 private:
  /// Lines of pages that no fault has mapped yet are not fetched, which doubled the time of a
  /// mapping's first pass. One fault maps the pages around it that are in the page cache, on Linux
  /// of 64 KiB.
  static constexpr uintptr_t kFaultBytes = 64 << 10;
  HEARTH_HOST_DEVICE void touch() const {
    static_cast<void>(*static_cast<const volatile uint8_t*>(next_));
  }

  const uint8_t* next_ = nullptr;
  const uint8_t* end_ = nullptr;
};

}  // namespace hearth::kernels::simd
