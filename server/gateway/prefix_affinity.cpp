#include "server/gateway/prefix_affinity.h"

#include <algorithm>

#include "base/check.h"

namespace hearth {
namespace {

/// The finalizer of SplitMix64 (Steele et al. 2014): every bit of the input reaches every bit of
/// the output. An adversary who finds collisions gains a bad hint.
uint64_t mix(uint64_t value) {
  value += 0x9E3779B97F4A7C15U;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9U;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBU;
  return value ^ (value >> 31);
}

uint64_t add(uint64_t hash, int32_t token) {
  return mix(hash ^ static_cast<uint64_t>(static_cast<uint32_t>(token)));
}

}  // namespace

PrefixAffinity::PrefixAffinity(size_t capacity) : capacity_(capacity) {
  HEARTH_CHECK(capacity > 0, "room for an entry");
}

PrefixAffinity::Chain PrefixAffinity::chain_of(std::span<const int32_t> tokens, uint64_t salt,
                                               int32_t page_tokens) {
  Chain chain;
  chain.seed = mix(salt);
  extend(chain, {}, tokens, page_tokens);
  return chain;
}

void PrefixAffinity::extend(Chain& chain, std::span<const int32_t> head,
                            std::span<const int32_t> tail, int32_t page_tokens) {
  HEARTH_CHECK(page_tokens > 0, "a page holds tokens");
  const auto page = static_cast<size_t>(page_tokens);
  const size_t full_pages = (head.size() + tail.size()) / page;
  const auto token = [&](size_t i) { return i < head.size() ? head[i] : tail[i - head.size()]; };
  for (size_t p = chain.hashes.size(); p < full_pages; ++p) {
    uint64_t hash = p == 0 ? chain.seed : chain.hashes[p - 1];
    for (size_t i = p * page; i < (p + 1) * page; ++i) hash = add(hash, token(i));
    chain.hashes.push_back(hash);
  }
}

void PrefixAffinity::record(int32_t worker, const Chain& chain) {
  HEARTH_CHECK(worker >= 0 && worker < kMaxWorkers, "a worker's index");
  // From the end: a chain longer than the capacity keeps its beginning, without which the rest is
  // of no use, and beginnings are dropped last.
  for (auto hash = chain.hashes.rbegin(); hash != chain.hashes.rend(); ++hash) {
    auto [place, fresh] = entries_.try_emplace(*hash);
    if (fresh) {
      recent_.push_front({.hash = *hash, .workers = {}});
      place->second = recent_.begin();
    } else {
      recent_.splice(recent_.begin(), recent_, place->second);
    }
    place->second->workers.set(static_cast<size_t>(worker));
    if (entries_.size() > capacity_) {
      entries_.erase(recent_.back().hash);
      recent_.pop_back();
    }
  }
}

std::vector<int32_t> PrefixAffinity::known_pages(const Chain& chain, int32_t num_workers) const {
  std::vector<int32_t> pages(static_cast<size_t>(num_workers), 0);
  std::bitset<kMaxWorkers> all_so_far;
  all_so_far.set();
  for (const uint64_t hash : chain.hashes) {
    const auto place = entries_.find(hash);
    if (place == entries_.end()) break;
    all_so_far &= place->second->workers;
    if (all_so_far.none()) break;
    for (size_t worker = 0; worker < pages.size(); ++worker)
      if (all_so_far.test(worker)) ++pages[worker];
  }
  return pages;
}

void PrefixAffinity::forget(int32_t worker) {
  for (auto entry = recent_.begin(); entry != recent_.end();) {
    entry->workers.reset(static_cast<size_t>(worker));
    if (entry->workers.none()) {
      entries_.erase(entry->hash);
      entry = recent_.erase(entry);
    } else {
      ++entry;
    }
  }
}

}  // namespace hearth
