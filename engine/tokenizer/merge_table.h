#pragma once
// The merges of a byte-level vocabulary: which pair of tokens becomes which, and in what order.

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/gguf/metadata.h"
#include "engine/tokenizer/symbol_merger.h"
#include "engine/tokenizer/vocabulary.h"

namespace hearth {

/// Pairs of ids to ranks, open addressing: 12 bytes a slot, no texts.
class MergeTable {
 public:
  /// Reads `tokenizer.ggml.merges`, lines of two texts with a blank between; of two equal lines the
  /// first counts. A text that is no token (or one that plain text must not become, as a control
  /// token) gets an id past the vocabulary: it can be a step on the way to a token, as in some real
  /// files. A line without a blank inside is an error.
  static Result<MergeTable> load(const Metadata& metadata, const Vocabulary& vocabulary);

  /// The merge of two adjacent ids; rank kNone if there is none.
  [[nodiscard]] Merge find(int32_t left, int32_t right) const {
    if (left < 0 || right < 0) return {};
    const uint64_t key = make_key(left, right);
    for (size_t at = slot_of(key);; at = (at + 1) & (keys_.size() - 1)) {
      if (keys_[at] == key) return {ranks_[at], merged_[ranks_[at]]};
      if (keys_[at] == kEmpty) return {};
    }
  }

  /// The id of each byte's one-character text, -1 if neither the vocabulary nor a merge has it.
  [[nodiscard]] std::span<const int32_t, 256> byte_ids() const { return byte_ids_; }
  [[nodiscard]] size_t size() const { return merged_.size(); }

 private:
  static constexpr uint64_t kEmpty = UINT64_MAX;  // no key: ids are not negative
  static uint64_t make_key(int32_t left, int32_t right) {
    return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) |
           static_cast<uint32_t>(right);
  }
  [[nodiscard]] size_t slot_of(uint64_t key) const {
    // Multiplying mixes upwards: the upper bits are the good ones.
    return ((key ^ seed_) * 0x9E3779B97F4A7C15) >> shift_;
  }
  void reserve(size_t count);
  void insert(int32_t left, int32_t right, uint32_t rank);

  std::vector<uint64_t> keys_;
  std::vector<uint32_t> ranks_;
  std::vector<int32_t> merged_;  // [rank]
  std::array<int32_t, 256> byte_ids_{};
  uint64_t seed_ = 0;
  int shift_ = 0;
};

}  // namespace hearth
