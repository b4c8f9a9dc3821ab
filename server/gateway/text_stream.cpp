#include "server/gateway/text_stream.h"

#include <algorithm>
#include <utility>

namespace hearth {
namespace {

std::vector<size_t> borders(std::string_view pattern) {
  std::vector<size_t> border(pattern.size(), 0);
  size_t length = 0;
  for (size_t i = 1; i < pattern.size(); ++i) {
    while (length > 0 && pattern[i] != pattern[length]) length = border[length - 1];
    if (pattern[i] == pattern[length]) ++length;
    border[i] = length;
  }
  return border;
}

}  // namespace

size_t count_characters(std::string_view text) {
  // Every byte but 10xxxxxx begins a character.
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U; }));
}

StopMatcher::StopMatcher(const std::vector<std::string>& stops) {
  for (const std::string& stop : stops) {
    if (!stop.empty()) automata_.push_back({.pattern = stop, .border = borders(stop)});
  }
}

bool StopMatcher::push(char byte) {
  size_t longest_prefix = 0;
  size_t longest_match = 0;
  for (Automaton& automaton : automata_) {
    const std::string& pattern = automaton.pattern;
    size_t& matched = automaton.matched;
    while (matched > 0 && (matched == pattern.size() || pattern[matched] != byte)) {
      matched = automaton.border[matched - 1];
    }
    if (pattern[matched] == byte) ++matched;
    longest_prefix = std::max(longest_prefix, matched);
    if (matched == pattern.size()) longest_match = std::max(longest_match, matched);
  }
  length_ = longest_match > 0 ? longest_match : longest_prefix;
  return longest_match > 0;
}

TextStream::TextStream(const Tokenizer& tokenizer, const std::vector<std::string>& stops)
    : decoder_(tokenizer, /*render_special=*/false), matcher_(stops) {}

std::string TextStream::push(TokenId id) { return take(decoder_.push(id)); }

std::string TextStream::finish() {
  std::string text = take(decoder_.flush());
  if (!stopped_) text += release(held_.size());
  return text;
}

std::string TextStream::take(std::string_view text) {
  decoded_bytes_ += text.size();
  decoded_characters_ += count_characters(text);
  if (stopped_) return {};
  for (const char byte : text) {
    held_ += byte;
    if (matcher_.push(byte)) {
      // Bytes of a stop string were held while they might begin it, so the cut lies in held_.
      stopped_ = true;
      std::string before = release(held_.size() - matcher_.length());
      held_.clear();
      return before;
    }
  }
  return release(held_.size() - matcher_.length());
}

std::string TextStream::release(size_t bytes) {
  std::string out = held_.substr(0, bytes);
  held_.erase(0, bytes);
  released_bytes_ += bytes;
  return out;
}

}  // namespace hearth
