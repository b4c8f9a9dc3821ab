#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "base/result.h"

namespace hearth {

/// Owns a range of private anonymous memory that costs nothing until it is touched; zeroed, aligned
/// to a page, in huge pages where the kernel has them.
class HostMemory {
 public:
  HostMemory() = default;
  /// `what` names the memory in the error message.
  static Result<HostMemory> reserve(size_t bytes, const char* what);
  HostMemory(HostMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  HostMemory& operator=(HostMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;
  ~HostMemory();

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] size_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

/// Hands out consecutive, 64-byte aligned pieces of a planned range. A first pass without memory
/// adds up the sizes; a second pass over the same calls gives the pieces.
class Arena {
 public:
  Arena() = default;
  explicit Arena(const HostMemory& memory) : base_(memory.data()) {}
  /// Over memory of any device; never touched by the arena.
  explicit Arena(std::byte* base) : base_(base) {}

  /// The next `count` values of T; null in the first pass.
  template <typename T>
  T* take(size_t count) {
    std::byte* at = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return reinterpret_cast<T*>(at);
  }
  [[nodiscard]] size_t used() const { return used_; }

 private:
  static constexpr size_t kAlignment = 64;  // a cache line, and one AVX-512 register
  std::byte* base_ = nullptr;
  size_t used_ = 0;
};

/// Bytes that a process of this user could still take: the smaller of /proc/meminfo's MemAvailable
/// and what the memory cgroup (v2) leaves. Page cache counts as available.
uint64_t available_memory_bytes();

}  // namespace hearth
