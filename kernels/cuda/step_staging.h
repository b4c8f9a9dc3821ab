#pragma once
// A step's input as one piece of memory: laid out on the host, copied to the device at once.

#include <cstddef>
#include <vector>

#include "kernels/cuda/op_context.h"
#include "kernels/device.h"

namespace hearth::kernels {

class StepStaging {
 public:
  StepStaging() = default;
  StepStaging(int64_t rows, int64_t logit_rows, int64_t pages);

  /// Bytes that the largest step takes.
  [[nodiscard]] size_t capacity_bytes() const { return host_.size(); }
  /// Lays out a step. It must be within what the constructor was told.
  void fill(const StepInput& input);
  /// What fill() made, to be copied to `device`.
  [[nodiscard]] std::span<const std::byte> bytes() const { return {host_.data(), used_}; }
  /// Where its parts are once it is there.
  [[nodiscard]] simt::StepTables tables(const void* device) const;
  [[nodiscard]] StepPointers pointers(const void* device) const;

 private:
  template <typename T>
  T* take(size_t& at, size_t count);

  std::vector<std::byte> host_;
  size_t used_ = 0;
  simt::StepTables step_;  // without the pointers
  size_t row_at_ = 0;
  size_t positions_at_ = 0;
  size_t logit_rows_at_ = 0;
  size_t pages_at_ = 0;
};

}  // namespace hearth::kernels
