#include "engine/tokenizer/merge_table.h"

#include <spdlog/fmt/fmt.h>

#include <bit>
#include <string>
#include <unordered_map>

#include "engine/tokenizer/byte_level.h"

namespace hearth {

namespace {

constexpr size_t kMaxMerges = size_t{1} << 24;  // the largest in use: 450 000

/// Ids of texts, those of the vocabulary and further ones for texts that are not in it.
class Interner {
 public:
  explicit Interner(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}

  int32_t id(std::string_view text) {
    if (const auto id = vocabulary_.find_plain(text)) return *id;
    const auto next = static_cast<int32_t>(static_cast<size_t>(vocabulary_.size()) + extra_.size());
    return extra_.try_emplace(std::string(text), next).first->second;
  }

  /// Like id, but -1 for a text that has none yet.
  [[nodiscard]] int32_t known_id(std::string_view text) const {
    if (const auto id = vocabulary_.find_plain(text)) return *id;
    const auto found = extra_.find(std::string(text));
    return found == extra_.end() ? -1 : found->second;
  }

 private:
  const Vocabulary& vocabulary_;
  std::unordered_map<std::string, int32_t> extra_;
};

}  // namespace

Result<MergeTable> MergeTable::load(const Metadata& metadata, const Vocabulary& vocabulary) {
  HEARTH_ASSIGN_OR_RETURN(const auto lines, metadata.strings("tokenizer.ggml.merges"));
  if (lines.size() > kMaxMerges) {
    return fail(ErrorCode::kMalformed,
                fmt::format("tokenizer.ggml.merges has {} elements, expected at most {}",
                            lines.size(), kMaxMerges));
  }
  MergeTable table;
  table.reserve(lines.size());
  Interner interner(vocabulary);
  std::string whole;
  for (size_t rank = 0; rank < lines.size(); ++rank) {
    const std::string_view line = lines[rank];
    const size_t blank = line.find(' ', 1);  // the first byte may be a blank itself
    if (blank == std::string_view::npos || blank + 1 == line.size()) {
      return fail(
          ErrorCode::kMalformed,
          fmt::format("tokenizer.ggml.merges[{}] is not two texts with a blank between", rank));
    }
    const std::string_view left = line.substr(0, blank);
    const std::string_view right = line.substr(blank + 1);
    whole.assign(left);
    whole.append(right);
    table.merged_[rank] = interner.id(whole);
    table.insert(interner.id(left), interner.id(right), static_cast<uint32_t>(rank));
  }
  std::string character;
  for (size_t byte = 0; byte < 256; ++byte) {
    character.clear();
    append_byte_level(character, std::string(1, static_cast<char>(byte)));
    table.byte_ids_[byte] = interner.known_id(character);
  }
  return table;
}

void MergeTable::reserve(size_t count) {
  const size_t slots = std::bit_ceil(count + count / 2 + 16);  // at most 2/3 full
  keys_.assign(slots, kEmpty);
  ranks_.assign(slots, 0);
  merged_.assign(count, -1);
  seed_ = process_hash_seed();
  shift_ = 64 - std::countr_zero(slots);
}

void MergeTable::insert(int32_t left, int32_t right, uint32_t rank) {
  const uint64_t key = make_key(left, right);
  size_t at = slot_of(key);
  while (keys_[at] != kEmpty) {
    if (keys_[at] == key) return;
    at = (at + 1) & (keys_.size() - 1);
  }
  keys_[at] = key;
  ranks_[at] = rank;
}

}  // namespace hearth
