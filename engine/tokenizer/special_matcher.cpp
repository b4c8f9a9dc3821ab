#include "engine/tokenizer/special_matcher.h"

#include <algorithm>

namespace hearth {

SpecialMatcher::SpecialMatcher(const Vocabulary& vocabulary, bool all) {
  for (TokenId id = 0; id < vocabulary.size(); ++id) {
    const bool wanted =
        vocabulary.type(id) == TokenType::kUserDefined || (all && vocabulary.is_special(id));
    if (wanted && !vocabulary.text(id).empty()) entries_.push_back({vocabulary.text(id), id});
  }
  // Of two tokens with one text the one that the vocabulary finds is wanted; the last one else.
  std::ranges::sort(entries_, [](const Entry& a, const Entry& b) {
    return a.text != b.text ? a.text < b.text : a.id < b.id;
  });
  std::vector<Entry> unique;
  for (const Entry& entry : entries_) {
    if (unique.empty() || unique.back().text != entry.text) {
      unique.push_back(entry);
    } else if (vocabulary.find(entry.text) != unique.back().id) {
      unique.back() = entry;
    }
  }
  entries_ = std::move(unique);
  for (const Entry& entry : entries_) ++first_[static_cast<uint8_t>(entry.text[0]) + size_t{1}];
  for (size_t b = 1; b < first_.size(); ++b) first_[b] += first_[b - 1];
}

std::optional<SpecialMatcher::Match> SpecialMatcher::next(std::string_view text,
                                                          size_t from) const {
  if (entries_.empty()) return std::nullopt;
  for (size_t at = from; at < text.size(); ++at) {
    const auto byte = static_cast<uint8_t>(text[at]);
    if (first_[byte] == first_[byte + size_t{1}]) continue;
    if (auto match = match_at(text, at)) return match;
  }
  return std::nullopt;
}

std::optional<SpecialMatcher::Match> SpecialMatcher::match_at(std::string_view text,
                                                              size_t at) const {
  const auto byte = static_cast<uint8_t>(text[at]);
  auto low = entries_.begin() + first_[byte];
  auto high = entries_.begin() + first_[byte + size_t{1}];
  std::optional<Match> best;
  for (size_t depth = 1; low != high; ++depth) {
    // All entries of [low, high) begin with text[at, at + depth); the shortest comes first.
    if (low->text.size() == depth) {
      best = Match{at, at + depth, low->id};
      ++low;
    }
    if (at + depth == text.size()) break;
    const auto wanted = static_cast<uint8_t>(text[at + depth]);
    auto key = [depth](const Entry& entry) { return static_cast<uint8_t>(entry.text[depth]); };
    const auto range = std::ranges::equal_range(low, high, wanted, {}, key);
    low = range.begin();
    high = range.end();
  }
  return best;
}

}  // namespace hearth
