#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace hearth {

/// Which KV pages are free and how many holders the others have. Pure bookkeeping; one thread.
class PageAllocator {
 public:
  explicit PageAllocator(int32_t num_pages);

  /// A free page, now held once; nothing if none is free. Freed pages are reused last in, first
  /// out: their memory has been touched already.
  [[nodiscard]] std::optional<int32_t> take();
  /// One more holder of a page in use.
  void retain(int32_t page);
  /// One holder less; the page is free when none is left.
  void release(int32_t page);

  [[nodiscard]] int32_t total() const { return static_cast<int32_t>(holders_.size()); }
  [[nodiscard]] int32_t free() const { return static_cast<int32_t>(free_.size()); }
  [[nodiscard]] int32_t used() const { return total() - free(); }

 private:
  std::vector<int32_t> holders_;  // per page
  std::vector<int32_t> free_;     // a stack
};

}  // namespace hearth
