#include "engine/legacy/legacy_vocabulary.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "engine/gguf/array_builder.h"

namespace hearth {
namespace {

constexpr std::string_view kBlank = "\xE2\x96\x81";  // U+2581, a blank in the vocabulary
constexpr uint32_t kFirstByte = 3;
constexpr uint32_t kFirstPiece = kFirstByte + 256;
constexpr size_t kMaxTokenBytes = 4096;

enum TokenKind : uint8_t { kNormal = 1, kUnknown = 2, kControl = 3, kByte = 6 };

TokenKind kind_of(uint32_t id, std::string_view text) {
  if (id == 0) return kUnknown;
  if (text.empty()) return kControl;  // BOS and EOS have no text here
  if (id < kFirstByte || id >= kFirstPiece || text.size() != 1) return kNormal;
  return static_cast<uint8_t>(text[0]) == id - kFirstByte ? kByte : kNormal;
}

std::string byte_name(uint8_t byte) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  return std::string("<0x") + kHex[byte >> 4] + kHex[byte & 15] + ">";
}

void add_piece(StringArrayBuilder& tokens, std::string_view text) {
  const auto blanks = static_cast<size_t>(std::ranges::count(text, ' '));
  tokens.begin(text.size() + blanks * (kBlank.size() - 1));
  while (!text.empty()) {
    const size_t blank = text.find(' ');
    tokens.append(text.substr(0, blank));
    if (blank == std::string_view::npos) return;
    tokens.append(kBlank);
    text.remove_prefix(blank + 1);
  }
}

void add_token(StringArrayBuilder& tokens, uint32_t id, TokenKind kind, std::string_view text) {
  constexpr std::string_view kRoles[] = {"<unk>", "<s>", "</s>"};
  if (kind == kByte) return tokens.add(byte_name(static_cast<uint8_t>(text[0])));
  if (id < kFirstByte && (kind == kUnknown || kind == kControl)) return tokens.add(kRoles[id]);
  add_piece(tokens, text);
}

/// The next T of `bytes`, if there is one.
template <typename T>
bool take(std::span<const std::byte> bytes, size_t& at, T& value) {
  if (bytes.size() - at < sizeof(T)) return false;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  at += sizeof(T);
  return true;
}

}  // namespace

Result<size_t> read_legacy_vocabulary(std::string_view file, std::span<const std::byte> bytes,
                                      size_t begin, uint32_t count, bool has_scores,
                                      Metadata& metadata) {
  size_t at = begin;
  StringArrayBuilder tokens;
  std::vector<float> scores(count);
  std::vector<uint8_t> kinds(count);
  const auto malformed = [&](uint32_t id, const std::string& what) {
    return fail(ErrorCode::kMalformed, std::string(file) + ": token " + std::to_string(id) +
                                           " of " + std::to_string(count) + ": " + what);
  };
  for (uint32_t id = 0; id < count; ++id) {
    uint32_t length = 0;
    if (!take(bytes, at, length) || length > bytes.size() - at)
      return malformed(id, "goes beyond the end of the file");
    if (length > kMaxTokenBytes)
      return malformed(id, "length: " + std::to_string(length) + ", expected at most " +
                               std::to_string(kMaxTokenBytes));
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + at, length);
    at += length;
    scores[id] = id < kFirstPiece ? 0.0F : -static_cast<float>(id - kFirstPiece);
    if (has_scores && !take(bytes, at, scores[id]))
      return malformed(id, "score: goes beyond the end of the file");
    const TokenKind kind = kind_of(id, text);
    kinds[id] = kind;
    add_token(tokens, id, kind, text);
  }
  metadata.insert("tokenizer.ggml.model", std::string_view("llama"));
  metadata.insert("tokenizer.ggml.tokens", std::move(tokens).keep_in(metadata));
  metadata.insert("tokenizer.ggml.scores", keep_array<float>(metadata, scores));
  metadata.insert("tokenizer.ggml.token_type", keep_array<uint8_t>(metadata, kinds));
  metadata.insert("tokenizer.ggml.unknown_token_id", uint64_t{0});
  metadata.insert("tokenizer.ggml.bos_token_id", uint64_t{1});
  metadata.insert("tokenizer.ggml.eos_token_id", uint64_t{2});
  return at;
}

}  // namespace hearth
