#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace hearth {

/// No page: the parent of a sequence's first page.
inline constexpr int32_t kNoPage = -1;

/// What a full page holds: K and V of `tokens`, which follow all that the chain of parents holds.
struct PageContent {
  int32_t parent = kNoPage;  // the remembered page before it
  uint64_t salt = 0;         // pages are shared among equal salts only
  std::span<const int32_t> tokens;
};

/// Chains a page's hash to its parent's: equal for equal prefixes alone, but for collisions.
uint64_t hash_page(uint64_t parent_hash, std::span<const int32_t> tokens);

/// Finds the page with a given content: a hash chain over pages. A hash only proposes a page; salt,
/// parent and tokens are compared, so that a collision is a miss, never another prompt's K and V.
/// The chain is exact as long as a page is erased before its parent: the owner sees to it.
class PrefixIndex {
 public:
  using Hash = uint64_t (*)(uint64_t parent_hash, std::span<const int32_t> tokens);

  explicit PrefixIndex(int32_t num_pages, Hash hash = hash_page);

  [[nodiscard]] std::optional<int32_t> find(const PageContent& content) const;
  /// Remembers `page`, whose content is not in the index, under it. False if another content has
  /// the same hash: then the page is not remembered.
  bool insert(int32_t page, const PageContent& content);
  /// Forgets a page; pages that are not in the index are ignored.
  void erase(int32_t page);

  [[nodiscard]] bool contains(int32_t page) const {
    return hashes_[static_cast<size_t>(page)].has_value();
  }
  /// The remembered page before `page`, which must be in the index.
  [[nodiscard]] int32_t parent(int32_t page) const;
  [[nodiscard]] size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    int32_t page;
    int32_t parent;
    uint64_t salt;
    std::vector<int32_t> tokens;
  };
  [[nodiscard]] uint64_t hash_of(const PageContent& content) const;

  Hash hash_;
  std::unordered_map<uint64_t, Entry> entries_;
  std::vector<std::optional<uint64_t>> hashes_;  // per page
};

}  // namespace hearth
