#pragma once
// How much this program takes from the heap, so that a test can bound it.

#include <cstddef>

namespace hearth::testing {

/// Counts what this thread allocates with new while it lives. One at a time.
class AllocationMeter {
 public:
  AllocationMeter();
  ~AllocationMeter();
  AllocationMeter(const AllocationMeter&) = delete;
  AllocationMeter& operator=(const AllocationMeter&) = delete;

  [[nodiscard]] size_t largest() const;  // bytes of the largest single allocation
  [[nodiscard]] size_t total() const;    // bytes of all allocations, freed or not
  [[nodiscard]] size_t peak() const;     // most bytes held at one time
};

}  // namespace hearth::testing
