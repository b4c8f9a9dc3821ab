#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/kv_cache/prefix_index.h"

namespace hearth {

/// Which KV pages are free, which have holders, and which only wait to be used again: the prefix
/// cache. Pure bookkeeping; one thread.
///
/// A page is in exactly one of three states: used (it has holders), cached (no holder, but its
/// content is remembered) or free. When no page is free, the cached page that was let go longest
/// ago is forgotten. Holders of a page must hold the pages before it too, and let go of the later
/// ones first: then a page is always forgotten before its parent, and no remembered page is ever
/// out of reach.
class PagePool {
 public:
  explicit PagePool(int32_t num_pages, PrefixIndex::Hash hash = hash_page);

  /// A page of undefined content, now held once; nothing if all pages have holders.
  [[nodiscard]] std::optional<int32_t> take();
  /// One more holder of a page that is used or cached.
  void retain(int32_t page);
  /// One holder less. Without holders a remembered page is cached, any other is free.
  void release(int32_t page);
  /// release() of a sequence's pages, the last one first; clears the list.
  void release_all(std::vector<int32_t>& pages);

  /// The remembered page of this content. It is not retained.
  [[nodiscard]] std::optional<int32_t> find(const PageContent& content) const {
    return index_.find(content);
  }
  /// Remembers the content of `page`, which is used and full. Returns the page under which this
  /// content is known: `page`, or one that was there before and holds the very same bits, which the
  /// holder should use instead. Nothing if the content cannot be remembered (a hash collision).
  std::optional<int32_t> remember(int32_t page, const PageContent& content);

  [[nodiscard]] int32_t total() const { return static_cast<int32_t>(pages_.size()); }
  [[nodiscard]] int32_t free() const { return static_cast<int32_t>(free_.size()); }
  [[nodiscard]] int32_t cached() const { return cached_; }
  [[nodiscard]] int32_t used() const { return used_; }
  /// Pages that take() could hand out.
  [[nodiscard]] int32_t available() const { return free() + cached(); }
  [[nodiscard]] int32_t holders(int32_t page) const {
    return pages_.at(static_cast<size_t>(page)).holders;
  }

  /// Aborts unless every page is in one state, free + used + cached = total, and every remembered
  /// page's parent is remembered and has a holder if it has one. For tests: looks at all pages.
  void check_invariants() const;

 private:
  struct Page {
    int32_t holders = 0;
    int32_t newer = kNoPage;  // neighbours in the list of cached pages
    int32_t older = kNoPage;
    bool cached = false;
  };
  Page& at(int32_t page) { return pages_.at(static_cast<size_t>(page)); }
  void link_newest(int32_t page);
  void unlink(int32_t page);

  std::vector<Page> pages_;
  std::vector<int32_t> free_;  // a stack: memory that was touched already is used again first
  PrefixIndex index_;
  int32_t newest_ = kNoPage;  // ends of the list of cached pages
  int32_t oldest_ = kNoPage;
  int32_t cached_ = 0;
  int32_t used_ = 0;
};

}  // namespace hearth
