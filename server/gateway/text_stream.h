#pragma once
// The text of one choice as its tokens arrive: whole UTF-8 characters only, cut before the first
// stop string, and never a byte that might turn out to begin one.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/tokenizer.h"

namespace hearth {

/// The characters (code points) of valid UTF-8.
size_t count_characters(std::string_view text);

/// Finds the first of several strings in a text that arrives byte by byte. The first is the one
/// that ends first; of those that end together, the longest. What is found does not depend on how
/// the text was cut into pieces. Knuth, Morris, Pratt 1977, one automaton per string: constant
/// work per byte and string, memory of the strings' own order.
class StopMatcher {
 public:
  /// Empty strings are ignored.
  explicit StopMatcher(const std::vector<std::string>& stops);

  /// Takes the next byte. True if a stop string ends with it; length() is then its length.
  bool push(char byte);
  /// After a match its length; else the length of the longest end of the text that begins a stop
  /// string.
  [[nodiscard]] size_t length() const { return length_; }

 private:
  struct Automaton {
    std::string pattern;
    std::vector<size_t> border;  // border[i]: longest proper border of pattern[0 .. i]
    size_t matched = 0;          // longest prefix of the pattern that ends the text
  };
  std::vector<Automaton> automata_;
  size_t length_ = 0;
};

/// Owns the decoding state of one choice. One thread at a time.
class TextStream {
 public:
  /// `tokenizer` must outlive this. `stops` are valid UTF-8; empty ones are ignored.
  TextStream(const Tokenizer& tokenizer, const std::vector<std::string>& stops);

  /// The text that may be sent now that `id` has come; may be empty. Nothing once stopped().
  std::string push(TokenId id);
  /// The choice has ended: the text still held back. Nothing once stopped().
  std::string finish();

  /// True once a stop string was found; the text before it has been released.
  [[nodiscard]] bool stopped() const { return stopped_; }
  /// Bytes of text of all tokens so far, held ones included: where the next token's text begins.
  [[nodiscard]] size_t decoded_bytes() const { return decoded_bytes_; }
  /// The same in characters.
  [[nodiscard]] size_t decoded_characters() const { return decoded_characters_; }
  /// Bytes given out by push() and finish(). Once stopped(), the place of the cut.
  [[nodiscard]] size_t released_bytes() const { return released_bytes_; }

 private:
  std::string take(std::string_view text);
  std::string release(size_t bytes);

  StreamDecoder decoder_;
  StopMatcher matcher_;
  std::string held_;  // decoded, not yet released
  size_t decoded_bytes_ = 0;
  size_t decoded_characters_ = 0;
  size_t released_bytes_ = 0;
  bool stopped_ = false;
};

}  // namespace hearth
