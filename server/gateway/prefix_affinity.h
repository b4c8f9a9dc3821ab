#pragma once
// Which workers have probably computed which beginnings of prompts: a hint for the router. The
// workers' own prefix caches confirm by comparing tokens, so a wrong hint costs time and nothing
// else.

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <list>
#include <span>
#include <unordered_map>
#include <vector>

namespace hearth {

class PrefixAffinity {
 public:
  static constexpr int32_t kMaxWorkers = 256;

  /// hashes[i] stands for the first i + 1 pages of a sequence of tokens and its salt.
  struct Chain {
    uint64_t seed = 0;
    std::vector<uint64_t> hashes;
  };

  /// `capacity`: most page hashes kept; the ones not touched for longest are dropped. An entry
  /// takes about 120 bytes.
  explicit PrefixAffinity(size_t capacity = size_t{1} << 16);

  /// The chain of all full pages of `tokens`. Touches no state.
  static Chain chain_of(std::span<const int32_t> tokens, uint64_t salt, int32_t page_tokens);
  /// Lengthens the chain of `head` to that of `head` followed by `tail`.
  static void extend(Chain& chain, std::span<const int32_t> head, std::span<const int32_t> tail,
                     int32_t page_tokens);

  /// `worker` has computed (or is about to compute) the pages of `chain`.
  void record(int32_t worker, const Chain& chain);
  /// The leading pages of `chain` that each of `num_workers` is known for.
  [[nodiscard]] std::vector<int32_t> known_pages(const Chain& chain, int32_t num_workers) const;
  /// The worker's cache is empty: its process was started anew.
  void forget(int32_t worker);

  [[nodiscard]] size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    uint64_t hash = 0;
    std::bitset<kMaxWorkers> workers;
  };
  using Recent = std::list<Entry>;  // the one touched last comes first

  const size_t capacity_;
  Recent recent_;
  std::unordered_map<uint64_t, Recent::iterator> entries_;
};

}  // namespace hearth
