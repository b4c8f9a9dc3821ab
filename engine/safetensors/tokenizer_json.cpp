#include "engine/safetensors/tokenizer_json.h"

#include <algorithm>
#include <utility>

#include "engine/gguf/array_builder.h"
#include "engine/gguf/quote.h"
#include "engine/safetensors/json_reader.h"

namespace hearth {
namespace {

constexpr size_t kMaxTokens = size_t{1} << 22;
/// A token takes at least this much of the file, so that ids may not promise more than is there.
constexpr size_t kLeastTokenBytes = 8;

class TokenizerJsonParser {
 public:
  TokenizerJsonParser(const std::string& file, std::string_view text, Metadata& keeper)
      : file_(file),
        reader_(file, text),
        keeper_(keeper),
        id_limit_(std::min(kMaxTokens, text.size() / kLeastTokenBytes + 256)) {
    out_.flat.set_source(file);
  }

  Result<TokenizerJson> parse() {
    HEARTH_RETURN_IF_ERROR(reader_.object([this](std::string_view key) -> Status {
      if (key == "model") return read_model();
      if (key == "added_tokens") return reader_.array([this](size_t) { return read_added(); });
      if (key == "normalizer" || key == "pre_tokenizer" || key == "post_processor")
        return reader_.flatten(out_.flat);
      return reader_.skip();
    }));
    HEARTH_RETURN_IF_ERROR(reader_.end());
    if (out_.texts.empty() || !out_.has_merges)
      return fail(ErrorCode::kMalformed,
                  file_ + ": model: not all fields, expected vocab and merges");
    out_.merges = std::move(merges_).keep_in(keeper_);
    return std::move(out_);
  }

 private:
  Status read_model() {
    return reader_.object([this](std::string_view key) -> Status {
      if (key == "type") return read_type();
      if (key == "vocab") return read_vocabulary();
      if (key == "merges") return read_merges();
      if (key == "byte_fallback") return read_flag(out_.byte_fallback);
      if (key == "ignore_merges") return read_flag(out_.ignore_merges);
      if (key == "unk_token") return read_text_or_null(out_.unknown);
      if (key == "continuing_subword_prefix" || key == "end_of_word_suffix")
        return expect_nothing();
      return reader_.skip();
    });
  }

  Status read_type() {
    HEARTH_ASSIGN_OR_RETURN(const std::string_view type, reader_.string());
    if (type == "BPE") return {};
    return fail(ErrorCode::kUnsupported,
                file_ + ": model.type: " + quote_foreign(type) + ", expected 'BPE'");
  }
  Status read_flag(bool& flag) {
    if (reader_.peek() == JsonReader::Kind::kNull) return reader_.skip();
    HEARTH_ASSIGN_OR_RETURN(flag, reader_.boolean());
    return {};
  }
  Status read_text_or_null(std::string& text) {
    if (reader_.peek() == JsonReader::Kind::kNull) return reader_.skip();
    HEARTH_ASSIGN_OR_RETURN(text, reader_.string());
    return {};
  }
  Status expect_nothing() {
    std::string text;
    HEARTH_RETURN_IF_ERROR(read_text_or_null(text));
    return text.empty() ? Status() : reader_.wrong(quote_foreign(text), "null");
  }

  std::string_view own(std::string_view text) {
    if (reader_.is_in_text(text)) return text;
    return out_.unescaped.emplace_back(text);
  }

  Status add(uint64_t id, std::string_view text) {
    if (id >= id_limit_)
      return reader_.wrong("id " + std::to_string(id), "less than a file of this size can hold");
    const auto index = static_cast<size_t>(id);
    if (index >= out_.texts.size()) out_.texts.resize(index + 1);
    const bool is_free = out_.texts[index].data() == nullptr;
    if (!is_free && out_.texts[index] != text)
      return reader_.wrong("id " + std::to_string(id) + " of a second text", "one text for an id");
    if (is_free) {
      // An empty text must differ from none.
      out_.texts[index] = text.data() == nullptr ? std::string_view("") : text;
    }
    const auto [known, inserted] = out_.ids.try_emplace(text, static_cast<int32_t>(id));
    if (!inserted && known->second != static_cast<int32_t>(id))
      return reader_.wrong("a second id for " + quote_foreign(text), "one id for a text");
    return {};
  }

  Status read_vocabulary() {
    if (reader_.peek() != JsonReader::Kind::kObject)
      return reader_.wrong("not an object", "the texts and ids of a BPE model");
    return reader_.object([this](std::string_view key) -> Status {
      const std::string_view text = own(key);
      HEARTH_ASSIGN_OR_RETURN(const uint64_t id, reader_.u64());
      return add(id, text);
    });
  }

  /// {"id": 0, "content": "<s>", "special": true, "lstrip": false, …}
  Status read_added() {
    std::optional<uint64_t> id;
    std::optional<std::string_view> text;
    AddedToken token;
    bool single_word = false;
    HEARTH_RETURN_IF_ERROR(reader_.object([&](std::string_view key) -> Status {
      if (key == "special") return read_flag(token.is_special);
      if (key == "lstrip") return read_flag(token.strips_left);
      if (key == "rstrip") return read_flag(token.strips_right);
      if (key == "single_word") return read_flag(single_word);
      if (key == "id") {
        HEARTH_ASSIGN_OR_RETURN(id, reader_.u64());
        return {};
      }
      if (key != "content") return reader_.skip();
      HEARTH_ASSIGN_OR_RETURN(const std::string_view content, reader_.string());
      text = own(content);
      return {};
    }));
    if (!id || !text) return reader_.wrong("not all fields", "id and content");
    if (single_word)
      return reader_.wrong("single_word true", "false: such tokens are not recognised");
    HEARTH_RETURN_IF_ERROR(add(*id, *text));
    token.id = static_cast<int32_t>(*id);
    out_.added.push_back(token);
    return {};
  }

  /// ["a b", …] or [["a", "b"], …]
  Status read_merges() {
    out_.has_merges = true;
    return reader_.array([this](size_t) -> Status {
      if (reader_.peek() == JsonReader::Kind::kString) {
        HEARTH_ASSIGN_OR_RETURN(const std::string_view line, reader_.string());
        merges_.add(line);
        return {};
      }
      size_t count = 0;
      pair_.clear();
      HEARTH_RETURN_IF_ERROR(reader_.array([&](size_t index) -> Status {
        HEARTH_ASSIGN_OR_RETURN(const std::string_view half, reader_.string());
        if (half.empty() || half.find(' ') != std::string_view::npos)
          return reader_.wrong(quote_foreign(half), "a text without blanks");
        if (index == 1) pair_ += ' ';
        pair_ += half;
        count = index + 1;
        return {};
      }));
      if (count != 2) return reader_.wrong(std::to_string(count) + " texts", "two");
      merges_.add(pair_);
      return {};
    });
  }

  const std::string& file_;
  JsonReader reader_;
  Metadata& keeper_;
  const size_t id_limit_;
  StringArrayBuilder merges_;
  std::string pair_;
  TokenizerJson out_;
};

}  // namespace

Result<TokenizerJson> read_tokenizer_json(const std::string& file, std::string_view text,
                                          Metadata& keeper) {
  return TokenizerJsonParser(file, text, keeper).parse();
}

}  // namespace hearth
