#include "engine/kv_cache/prefix_index.h"

#include <algorithm>

#include "base/check.h"

namespace hearth {
namespace {

// Multiplication by 2^64 over the golden ratio spreads low bits upwards; the shift brings them
// back, so that every token reaches all bits.
uint64_t mix(uint64_t hash, uint64_t word) {
  const uint64_t product = (hash ^ word) * 0x9E3779B97F4A7C15ULL;
  return product ^ (product >> 29);
}

}  // namespace

uint64_t hash_page(uint64_t parent_hash, std::span<const int32_t> tokens) {
  uint64_t hash = mix(parent_hash, tokens.size());
  for (const int32_t token : tokens) hash = mix(hash, static_cast<uint32_t>(token));
  return mix(hash, hash >> 32);
}

PrefixIndex::PrefixIndex(int32_t num_pages, Hash hash)
    : hash_(hash), hashes_(static_cast<size_t>(num_pages)) {}

std::optional<int32_t> PrefixIndex::find(const PageContent& content) const {
  const auto it = entries_.find(hash_of(content));
  if (it == entries_.end()) return std::nullopt;
  const Entry& entry = it->second;
  const bool same = entry.parent == content.parent && entry.salt == content.salt &&
                    std::ranges::equal(entry.tokens, content.tokens);
  return same ? std::optional(entry.page) : std::nullopt;
}

bool PrefixIndex::insert(int32_t page, const PageContent& content) {
  HEARTH_CHECK(!contains(page), "a page has one content");
  const uint64_t hash = hash_of(content);
  Entry entry{.page = page,
              .parent = content.parent,
              .salt = content.salt,
              .tokens = {content.tokens.begin(), content.tokens.end()}};
  if (!entries_.try_emplace(hash, std::move(entry)).second) return false;
  hashes_[static_cast<size_t>(page)] = hash;
  return true;
}

void PrefixIndex::erase(int32_t page) {
  std::optional<uint64_t>& hash = hashes_.at(static_cast<size_t>(page));
  if (!hash) return;
  entries_.erase(*hash);
  hash.reset();
}

int32_t PrefixIndex::parent(int32_t page) const {
  HEARTH_CHECK(contains(page), "the page is remembered");
  return entries_.at(*hashes_[static_cast<size_t>(page)]).parent;
}

uint64_t PrefixIndex::hash_of(const PageContent& content) const {
  if (content.parent == kNoPage) return hash_(content.salt, content.tokens);
  const std::optional<uint64_t>& parent = hashes_.at(static_cast<size_t>(content.parent));
  HEARTH_CHECK(parent.has_value(), "a page is forgotten before its parent");
  return hash_(*parent, content.tokens);
}

}  // namespace hearth
