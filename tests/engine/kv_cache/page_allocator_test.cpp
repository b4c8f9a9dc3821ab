#include "engine/kv_cache/page_allocator.h"

#include <doctest/doctest.h>

#include <set>

namespace hearth {

TEST_CASE("a pool hands out each page once and takes it back") {
  PageAllocator pages(3);
  std::set<int32_t> taken;
  for (int i = 0; i < 3; ++i) taken.insert(*pages.take());
  CHECK(taken == std::set<int32_t>{0, 1, 2});
  CHECK_FALSE(pages.take().has_value());
  CHECK(pages.used() == 3);
  pages.release(1);
  CHECK(pages.free() == 1);
  CHECK(pages.take() == 1);
}

TEST_CASE("a shared page is free only when its last holder lets go") {
  PageAllocator pages(1);
  const int32_t page = *pages.take();
  pages.retain(page);
  pages.release(page);
  CHECK(pages.free() == 0);
  pages.release(page);
  CHECK(pages.free() == 1);
}

}  // namespace hearth
