// Replaces the global allocation functions of this test program. All forms that a program may mix
// are here, so that sanitizers see matching pairs.
#include "tests/engine/model/support_allocation.h"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace hearth::testing {
namespace {

thread_local bool metering = false;
thread_local size_t largest_bytes = 0;
thread_local size_t total_bytes = 0;

void* allocate(size_t bytes) noexcept {
  if (metering) {
    largest_bytes = std::max(largest_bytes, bytes);
    total_bytes += bytes;
  }
  return std::malloc(bytes == 0 ? 1 : bytes);
}

void* allocate_or_throw(size_t bytes) {
  void* memory = allocate(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

AllocationMeter::AllocationMeter() {
  largest_bytes = 0;
  total_bytes = 0;
  metering = true;
}
AllocationMeter::~AllocationMeter() { metering = false; }
size_t AllocationMeter::largest() const { return largest_bytes; }
size_t AllocationMeter::total() const { return total_bytes; }

}  // namespace hearth::testing

void* operator new(size_t bytes) { return hearth::testing::allocate_or_throw(bytes); }
void* operator new[](size_t bytes) { return hearth::testing::allocate_or_throw(bytes); }
void* operator new(size_t bytes, const std::nothrow_t& /*tag*/) noexcept {
  return hearth::testing::allocate(bytes);
}
void* operator new[](size_t bytes, const std::nothrow_t& /*tag*/) noexcept {
  return hearth::testing::allocate(bytes);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t /*bytes*/) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t /*bytes*/) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t& /*tag*/) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t& /*tag*/) noexcept { std::free(memory); }
