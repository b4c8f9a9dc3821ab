#pragma once
// A compact hash map from token texts to ids. The texts stay where they are: a slot is eight bytes.

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace hearth {

/// Mixes `text` with `seed`. The seed differs from process to process, so that a model file can not
/// be made of texts that collide.
[[nodiscard]] inline uint64_t hash_text(std::string_view text, uint64_t seed) {
  constexpr uint64_t kOdd = 0x9E3779B97F4A7C15;  // 2^64 / golden ratio: well spread bits
  auto fold = [](uint64_t a, uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  };
  uint64_t hash = seed ^ (text.size() * kOdd);
  const char* at = text.data();
  size_t left = text.size();
  for (; left >= 8; at += 8, left -= 8) {
    uint64_t chunk;
    std::memcpy(&chunk, at, 8);
    hash = fold(hash ^ chunk, kOdd);
  }
  if (left > 0) {
    uint64_t chunk = 0;
    std::memcpy(&chunk, at, left);
    hash = fold(hash ^ chunk, kOdd ^ seed);
  }
  return fold(hash, seed | 1);
}

/// A seed for hash_text: random, but the same for the whole life of the process.
[[nodiscard]] uint64_t process_hash_seed();

/// Open addressing with linear probing over `texts`, which must outlive the map.
class TokenMap {
 public:
  TokenMap() = default;
  explicit TokenMap(std::span<const std::string_view> texts) : texts_(texts) {
    size_t slots = 16;
    while (slots * 5 < texts.size() * 8) slots *= 2;  // at most 5/8 full: short probes
    slots_.assign(slots, Slot{0, kEmpty});
    seed_ = process_hash_seed();
  }

  /// The id stored for `text`, if any.
  [[nodiscard]] std::optional<int32_t> find(std::string_view text) const {
    if (slots_.empty()) return std::nullopt;
    const Slot& slot = slots_[probe(text)];
    if (slot.id == kEmpty) return std::nullopt;
    return slot.id;
  }

  /// Stores `id` for texts[id] unless that text is there already; returns the id stored before.
  std::optional<int32_t> insert(int32_t id) {
    const std::string_view text = texts_[static_cast<size_t>(id)];
    Slot& slot = slots_[probe(text)];
    if (slot.id != kEmpty) return slot.id;
    slot = Slot{tag(hash_text(text, seed_)), id};
    return std::nullopt;
  }

  /// Makes `id` the one stored for texts[id], which must be there.
  void replace(int32_t id) { slots_[probe(texts_[static_cast<size_t>(id)])].id = id; }

 private:
  static constexpr int32_t kEmpty = -1;
  struct Slot {
    uint32_t tag;  // high half of the hash: most probes need not look at the text
    int32_t id;
  };
  static uint32_t tag(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }

  /// The slot that holds `text`, or the empty one where it would go.
  [[nodiscard]] size_t probe(std::string_view text) const {
    const uint64_t hash = hash_text(text, seed_);
    const size_t mask = slots_.size() - 1;
    for (size_t at = hash & mask;; at = (at + 1) & mask) {
      const Slot& slot = slots_[at];
      if (slot.id == kEmpty) return at;
      if (slot.tag == tag(hash) && texts_[static_cast<size_t>(slot.id)] == text) return at;
    }
  }

  std::span<const std::string_view> texts_;
  std::vector<Slot> slots_;
  uint64_t seed_ = 0;
};

}  // namespace hearth
