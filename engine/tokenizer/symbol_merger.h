#pragma once
// Byte-pair merging: the best adjacent pair first, until none is left. O(n log n) in the symbols.

#include <algorithm>
#include <cstdint>
#include <vector>

namespace hearth {

/// A run of a text's bytes on its way to become a token. Neighbours are linked by index.
struct Symbol {
  uint32_t begin = 0;
  uint32_t length = 0;  // 0 once merged into its left neighbour
  int32_t prev = -1;
  int32_t next = -1;
  int32_t id = -1;  // -1 if it is no token
};

/// What two neighbours may become; the lowest rank is the best.
struct Merge {
  static constexpr uint32_t kNone = UINT32_MAX;
  uint32_t rank = kNone;
  int32_t id = -1;
};

/// Holds the heap's memory from one word to the next. One thread at a time.
class SymbolMerger {
 public:
  std::vector<Symbol> symbols;

  /// Appends a symbol to the list.
  void add(uint32_t begin, uint32_t length, int32_t id) {
    const auto index = static_cast<int32_t>(symbols.size());
    if (index > 0) symbols.back().next = index;
    symbols.push_back({begin, length, index - 1, -1, id});
  }

  /// Merges what `find_merge(left, right)` allows, the lowest rank first and the leftmost of equal
  /// ones. The remaining symbols are those reached from symbols[0] through `next`.
  template <typename FindMerge>
  void run(const FindMerge& find_merge) {
    heap_.clear();
    for (size_t i = 1; i < symbols.size(); ++i) consider(static_cast<int32_t>(i) - 1, find_merge);
    std::ranges::make_heap(heap_, Candidate::after);
    while (!heap_.empty()) {
      std::ranges::pop_heap(heap_, Candidate::after);
      const Candidate best = heap_.back();
      heap_.pop_back();
      if (!apply(best)) continue;
      const auto left = static_cast<int32_t>(best.left());
      if (consider(symbols[best.left()].prev, find_merge)) {
        std::ranges::push_heap(heap_, Candidate::after);
      }
      if (consider(left, find_merge)) std::ranges::push_heap(heap_, Candidate::after);
    }
  }

 private:
  struct Candidate {
    uint64_t key;     // rank, then index of the left symbol: one comparison orders both
    uint32_t length;  // of both together, when this was found
    int32_t id;
    [[nodiscard]] uint32_t left() const { return static_cast<uint32_t>(key); }
    static bool after(const Candidate& a, const Candidate& b) { return a.key > b.key; }
  };

  /// Appends the merge of symbols[left] and its right neighbour to heap_, if there is one.
  template <typename FindMerge>
  bool consider(int32_t left, const FindMerge& find_merge) {
    if (left < 0) return false;
    const Symbol& a = symbols[static_cast<size_t>(left)];
    if (a.next < 0) return false;
    const Symbol& b = symbols[static_cast<size_t>(a.next)];
    const Merge merge = find_merge(a, b);
    if (merge.rank == Merge::kNone) return false;
    const uint64_t key = (uint64_t{merge.rank} << 32) | static_cast<uint32_t>(left);
    heap_.push_back({key, a.length + b.length, merge.id});
    return true;
  }

  /// False if one of the two has changed since. A symbol keeps its begin, and grows only by taking
  /// in its right neighbour: the pair is the same if both are there and the length still is.
  bool apply(const Candidate& candidate) {
    Symbol& left = symbols[candidate.left()];
    if (left.length == 0 || left.next < 0) return false;
    Symbol& right = symbols[static_cast<size_t>(left.next)];
    if (left.length + right.length != candidate.length) return false;
    left.length = candidate.length;
    left.id = candidate.id;
    left.next = right.next;
    if (right.next >= 0) {
      symbols[static_cast<size_t>(right.next)].prev = static_cast<int32_t>(candidate.left());
    }
    right.length = 0;
    return true;
  }

  std::vector<Candidate> heap_;
};

}  // namespace hearth
