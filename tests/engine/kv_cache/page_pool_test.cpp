#include "engine/kv_cache/page_pool.h"

#include <doctest/doctest.h>

#include <numeric>
#include <set>
#include <vector>

namespace hearth {
namespace {

using Tokens = std::vector<int32_t>;

/// Takes pages and remembers `chunks` in them, one behind the other.
std::vector<int32_t> fill(PagePool& pool, const std::vector<Tokens>& chunks, uint64_t salt = 0) {
  std::vector<int32_t> pages;
  for (const Tokens& tokens : chunks) {
    const int32_t page = *pool.take();
    const int32_t parent = pages.empty() ? kNoPage : pages.back();
    REQUIRE(pool.remember(page, {parent, salt, tokens}) == page);
    pages.push_back(page);
  }
  return pages;
}

uint64_t same_hash(uint64_t /*parent*/, std::span<const int32_t> /*tokens*/) { return 42; }

}  // namespace

TEST_CASE("a pool hands out each page once and takes it back") {
  PagePool pages(3);
  std::set<int32_t> taken;
  for (int i = 0; i < 3; ++i) taken.insert(*pages.take());
  CHECK(taken == std::set<int32_t>{0, 1, 2});
  CHECK_FALSE(pages.take().has_value());
  CHECK(pages.used() == 3);
  pages.release(1);
  CHECK(pages.free() == 1);
  CHECK(pages.take() == 1);
  pages.check_invariants();
}

TEST_CASE("a shared page is free only when its last holder lets go") {
  PagePool pages(1);
  const int32_t page = *pages.take();
  pages.retain(page);
  pages.release(page);
  CHECK(pages.free() == 0);
  pages.release(page);
  CHECK(pages.free() == 1);
}

TEST_CASE("a remembered page waits in the cache and is found by its content alone") {
  PagePool pool(4);
  auto pages = fill(pool, {{1, 2}, {3, 4}});
  const int32_t first = pages[0];
  const int32_t second = pages[1];
  pool.release_all(pages);
  CHECK(pool.cached() == 2);
  CHECK(pool.free() == 2);
  CHECK(pool.available() == 4);
  CHECK(pool.find({kNoPage, 0, Tokens{1, 2}}) == first);
  CHECK(pool.find({first, 0, Tokens{3, 4}}) == second);
  CHECK_FALSE(pool.find({kNoPage, 0, Tokens{3, 4}}).has_value());
  CHECK_FALSE(pool.find({kNoPage, 1, Tokens{1, 2}}).has_value());  // another key's
  CHECK_FALSE(pool.find({first, 0, Tokens{3, 5}}).has_value());
  pool.retain(first);
  CHECK(pool.used() == 1);
  CHECK(pool.cached() == 1);
  pool.release(first);
  pool.check_invariants();
}

TEST_CASE("the page let go longest ago is forgotten first, the end of a prefix before its begin") {
  PagePool pool(4);
  auto old = fill(pool, {{1}, {2}});
  auto young = fill(pool, {{7}, {8}});
  const int32_t old_first = old[0];
  const int32_t young_first = young[0];
  pool.release_all(old);
  pool.release_all(young);
  CHECK(pool.cached() == 4);
  std::vector<int32_t> taken = {*pool.take()};
  CHECK(pool.find({kNoPage, 0, Tokens{1}}) == old_first);
  CHECK_FALSE(pool.find({old_first, 0, Tokens{2}}).has_value());
  taken.push_back(*pool.take());
  CHECK_FALSE(pool.find({kNoPage, 0, Tokens{1}}).has_value());
  CHECK(pool.find({kNoPage, 0, Tokens{7}}) == young_first);
  pool.check_invariants();
  pool.release_all(taken);
  CHECK(pool.free() == 2);
}

TEST_CASE("a page that is used again becomes the youngest") {
  PagePool pool(2);
  auto a = fill(pool, {{1}});
  auto b = fill(pool, {{2}});
  const int32_t page_a = a[0];
  pool.release_all(a);
  pool.release_all(b);
  pool.retain(page_a);
  pool.release(page_a);
  REQUIRE(pool.take().has_value());
  CHECK(pool.find({kNoPage, 0, Tokens{1}}) == page_a);
  CHECK_FALSE(pool.find({kNoPage, 0, Tokens{2}}).has_value());
}

TEST_CASE("of two pages with one content the first is kept") {
  PagePool pool(3);
  const auto pages = fill(pool, {{1, 2}});
  const int32_t copy = *pool.take();
  CHECK(pool.remember(copy, {kNoPage, 0, Tokens{1, 2}}) == pages[0]);
  pool.release(copy);
  CHECK(pool.cached() == 0);
  CHECK(pool.free() == 2);
}

TEST_CASE("a hash collision is a miss and the page is not remembered") {
  PagePool pool(3, same_hash);
  const auto pages = fill(pool, {{1, 2}});
  CHECK_FALSE(pool.find({kNoPage, 0, Tokens{1, 3}}).has_value());
  CHECK_FALSE(pool.find({kNoPage, 5, Tokens{1, 2}}).has_value());
  CHECK_FALSE(pool.find({pages[0], 0, Tokens{1, 2}}).has_value());
  const int32_t other = *pool.take();
  CHECK_FALSE(pool.remember(other, {kNoPage, 0, Tokens{1, 3}}).has_value());
  CHECK(pool.find({kNoPage, 0, Tokens{1, 2}}) == pages[0]);
  pool.release(other);
  CHECK(pool.free() == 2);
  pool.check_invariants();
}

TEST_CASE("the page hash tells prefixes, salts, order and length apart") {
  std::set<uint64_t> hashes;
  int count = 0;
  for (uint64_t parent = 0; parent < 50; ++parent) {
    for (int32_t token = 0; token < 50; ++token) {
      hashes.insert(hash_page(parent, Tokens{token, 1}));
      hashes.insert(hash_page(parent, Tokens{1, token, 0}));
      count += 2;
    }
  }
  CHECK(hashes.size() == static_cast<size_t>(count));
}

}  // namespace hearth
