#include "engine/kv_cache/page_allocator.h"

#include "base/check.h"

namespace hearth {

PageAllocator::PageAllocator(int32_t num_pages) : holders_(static_cast<size_t>(num_pages), 0) {
  free_.reserve(holders_.size());
  for (int32_t page = num_pages - 1; page >= 0; --page) free_.push_back(page);
}

std::optional<int32_t> PageAllocator::take() {
  if (free_.empty()) return std::nullopt;
  const int32_t page = free_.back();
  free_.pop_back();
  holders_[static_cast<size_t>(page)] = 1;
  return page;
}

void PageAllocator::retain(int32_t page) {
  int32_t& holders = holders_.at(static_cast<size_t>(page));
  HEARTH_CHECK(holders > 0, "a free page cannot be shared");
  ++holders;
}

void PageAllocator::release(int32_t page) {
  int32_t& holders = holders_.at(static_cast<size_t>(page));
  HEARTH_CHECK(holders > 0, "a page was released twice");
  if (--holders == 0) free_.push_back(page);
}

}  // namespace hearth
