// Replaces the global allocation functions of this test program. All forms that a program may mix
// are here, so that sanitizers see matching pairs.
#include "tests/engine/model/support_allocation.h"

#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <new>

namespace hearth::testing {
namespace {

thread_local bool metering = false;
thread_local size_t largest_bytes = 0;
thread_local size_t total_bytes = 0;
thread_local size_t held_bytes = 0;
thread_local size_t peak_bytes = 0;

void* allocate(size_t bytes) noexcept {
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (metering && memory != nullptr) {
    largest_bytes = std::max(largest_bytes, bytes);
    total_bytes += bytes;
    held_bytes += ::malloc_usable_size(memory);
    peak_bytes = std::max(peak_bytes, held_bytes);
  }
  return memory;
}

void release(void* memory) noexcept {
  // What was there before the meter was is not counted.
  if (metering && memory != nullptr)
    held_bytes -= std::min(held_bytes, ::malloc_usable_size(memory));
  std::free(memory);
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
  held_bytes = 0;
  peak_bytes = 0;
  metering = true;
}
AllocationMeter::~AllocationMeter() { metering = false; }
size_t AllocationMeter::largest() const { return largest_bytes; }
size_t AllocationMeter::total() const { return total_bytes; }
size_t AllocationMeter::peak() const { return peak_bytes; }

}  // namespace hearth::testing

void* operator new(size_t bytes) { return hearth::testing::allocate_or_throw(bytes); }
void* operator new[](size_t bytes) { return hearth::testing::allocate_or_throw(bytes); }
void* operator new(size_t bytes, const std::nothrow_t& /*tag*/) noexcept {
  return hearth::testing::allocate(bytes);
}
void* operator new[](size_t bytes, const std::nothrow_t& /*tag*/) noexcept {
  return hearth::testing::allocate(bytes);
}
void operator delete(void* memory) noexcept { hearth::testing::release(memory); }
void operator delete[](void* memory) noexcept { hearth::testing::release(memory); }
void operator delete(void* memory, size_t /*bytes*/) noexcept { hearth::testing::release(memory); }
void operator delete[](void* memory, size_t /*bytes*/) noexcept {
  hearth::testing::release(memory);
}
void operator delete(void* memory, const std::nothrow_t& /*tag*/) noexcept {
  hearth::testing::release(memory);
}
void operator delete[](void* memory, const std::nothrow_t& /*tag*/) noexcept {
  hearth::testing::release(memory);
}
