#include "engine/tokenizer/vocabulary_tokenizer.h"

#include <utility>

#include "engine/tokenizer/byte_level.h"

namespace hearth {

namespace {

// Offsets in a piece are 32 bits wide, and escaping a blank takes three bytes.
constexpr size_t kMaxPieceBytes = size_t{1} << 30;

bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace

VocabularyTokenizer::VocabularyTokenizer(Vocabulary vocabulary, bool special_starts_text)
    : vocabulary_(std::move(vocabulary)),
      user_defined_(vocabulary_, false),
      all_special_(vocabulary_, true),
      special_starts_text_(special_starts_text) {}

std::vector<TokenId> VocabularyTokenizer::encode(std::string_view text,
                                                 EncodeOptions options) const {
  std::vector<TokenId> out;
  if (options.add_special && vocabulary_.adds_bos()) out.push_back(*vocabulary_.bos());
  const SpecialMatcher& matcher = options.parse_special ? all_special_ : user_defined_;
  bool at_start = true;
  size_t at = 0;
  while (true) {
    const auto match = matcher.next(text, at);
    size_t end = match ? match->begin : text.size();
    if (match && vocabulary_.strips_left(match->id)) {
      while (end > at && is_blank(text[end - 1])) --end;
    }
    if (end > at) {
      encode_pieces(text.substr(at, end - at), at_start, out);
      at_start = false;
    }
    if (!match) break;
    out.push_back(match->id);
    at_start = special_starts_text_;
    at = match->end;
    if (vocabulary_.strips_right(match->id)) {
      while (at < text.size() && is_blank(text[at])) ++at;
    }
  }
  if (options.add_special && vocabulary_.adds_eos()) out.push_back(*vocabulary_.eos());
  return out;
}

void VocabularyTokenizer::encode_pieces(std::string_view text, bool at_start,
                                        std::vector<TokenId>& out) const {
  while (text.size() > kMaxPieceBytes) {
    size_t cut = kMaxPieceBytes;
    while (cut > kMaxPieceBytes - 4 && (static_cast<uint8_t>(text[cut]) & 0xC0) == 0x80) --cut;
    encode_plain(text.substr(0, cut), at_start, out);
    text.remove_prefix(cut);
    at_start = false;
  }
  encode_plain(text, at_start, out);
}

std::string VocabularyTokenizer::token_bytes(TokenId id, bool render_special) const {
  if (!vocabulary_.contains(id)) return {};
  const std::string_view text = vocabulary_.text(id);
  switch (vocabulary_.type(id)) {
    case TokenType::kUnknown:
    case TokenType::kControl:
      return render_special ? std::string(text) : std::string();
    case TokenType::kUserDefined:
      return std::string(text);  // stands for itself, in either kind of vocabulary
    case TokenType::kByte:
      if (const int byte = byte_token_value(text); byte >= 0) {
        return std::string(1, static_cast<char>(byte));
      }
      return std::string(text);
    case TokenType::kUnused:
      return {};  // a place holder; no text becomes it
    case TokenType::kNormal:
      break;
  }
  return plain_bytes(text);
}

}  // namespace hearth
