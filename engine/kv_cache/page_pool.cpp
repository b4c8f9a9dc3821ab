#include "engine/kv_cache/page_pool.h"

#include "base/check.h"

namespace hearth {

PagePool::PagePool(int32_t num_pages, PrefixIndex::Hash hash)
    : pages_(static_cast<size_t>(num_pages)), index_(num_pages, hash) {
  free_.reserve(pages_.size());
  for (int32_t page = num_pages - 1; page >= 0; --page) free_.push_back(page);
}

std::optional<int32_t> PagePool::take() {
  if (free_.empty() && oldest_ != kNoPage) {
    const int32_t page = oldest_;
    unlink(page);
    index_.erase(page);
    free_.push_back(page);
  }
  if (free_.empty()) return std::nullopt;
  const int32_t page = free_.back();
  free_.pop_back();
  at(page).holders = 1;
  ++used_;
  return page;
}

void PagePool::retain(int32_t page) {
  Page& held = at(page);
  if (held.cached) {
    unlink(page);
    ++used_;
  } else {
    HEARTH_CHECK(held.holders > 0, "a free page cannot be shared");
  }
  ++held.holders;
}

void PagePool::release(int32_t page) {
  Page& held = at(page);
  HEARTH_CHECK(held.holders > 0, "a page was released twice");
  if (--held.holders > 0) return;
  --used_;
  if (index_.contains(page)) {
    link_newest(page);
  } else {
    free_.push_back(page);
  }
}

void PagePool::release_all(std::vector<int32_t>& pages) {
  for (; !pages.empty(); pages.pop_back()) release(pages.back());
}

std::optional<int32_t> PagePool::remember(int32_t page, const PageContent& content) {
  HEARTH_CHECK(at(page).holders > 0, "only a holder knows what a page holds");
  if (const auto known = index_.find(content)) return known;
  return index_.insert(page, content) ? std::optional(page) : std::nullopt;
}

void PagePool::link_newest(int32_t page) {
  Page& linked = at(page);
  linked.cached = true;
  linked.newer = kNoPage;
  linked.older = newest_;
  if (newest_ != kNoPage) at(newest_).newer = page;
  newest_ = page;
  if (oldest_ == kNoPage) oldest_ = page;
  ++cached_;
}

void PagePool::unlink(int32_t page) {
  Page& linked = at(page);
  (linked.newer != kNoPage ? at(linked.newer).older : newest_) = linked.older;
  (linked.older != kNoPage ? at(linked.older).newer : oldest_) = linked.newer;
  linked.cached = false;
  --cached_;
}

void PagePool::check_invariants() const {
  int32_t used = 0;
  int32_t cached = 0;
  for (int32_t i = 0; i < total(); ++i) {
    const Page& page = pages_[static_cast<size_t>(i)];
    used += page.holders > 0 ? 1 : 0;
    cached += page.cached ? 1 : 0;
    HEARTH_CHECK(!page.cached || page.holders == 0, "a cached page has no holder");
    HEARTH_CHECK(!page.cached || index_.contains(i), "a cached page is remembered");
    if (!index_.contains(i)) continue;
    HEARTH_CHECK(page.cached || page.holders > 0, "a remembered page is not free");
    const int32_t parent = index_.parent(i);
    if (parent == kNoPage) continue;
    HEARTH_CHECK(index_.contains(parent), "a page was forgotten before one behind it");
    HEARTH_CHECK(page.holders <= holders(parent), "who holds a page holds those before it");
  }
  HEARTH_CHECK(used == used_ && cached == cached_, "used and cached pages are counted");
  HEARTH_CHECK(free() + used + cached == total(), "free, used and cached pages are all pages");
  int32_t listed = 0;
  for (int32_t i = oldest_; i != kNoPage; i = pages_.at(static_cast<size_t>(i)).newer) ++listed;
  HEARTH_CHECK(listed == cached, "the list has every cached page");
}

}  // namespace hearth
