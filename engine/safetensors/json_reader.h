#pragma once
// A pull reader of JSON (RFC 8259) for the files beside safetensors weights. Vocabularies are tens
// of megabytes: the caller walks the text once and takes what it wants, nothing is built in
// between.
//
//   HEARTH_RETURN_IF_ERROR(reader.object([&](std::string_view key) -> Status {
//     if (key == "size") { HEARTH_ASSIGN_OR_RETURN(size, reader.u64()); return {}; }
//     return reader.skip();
//   }));
//
// A callback reads exactly one value. Nesting is limited. Errors name the file, the path of the
// value
// ("model.vocab"), and what was expected.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/gguf/metadata.h"

namespace hearth {

class JsonReader {
 public:
  enum class Kind : uint8_t { kObject, kArray, kString, kNumber, kBool, kNull, kOther };

  /// `text` must outlive the reader. `file` names it in messages and is quoted already.
  JsonReader(std::string file, std::string_view text) : file_(std::move(file)), text_(text) {}

  /// What comes next; kOther at the end or at what is no JSON.
  Kind peek();

  /// Reads an object, calling `member(key)` for each. The key is valid until another string is
  /// read.
  template <typename Member>
  Status object(const Member& member) {
    HEARTH_RETURN_IF_ERROR(open('{', "an object"));
    const size_t parent = path_.size();
    for (bool first = true;; first = false) {
      HEARTH_ASSIGN_OR_RETURN(const bool more, next_item('}', first));
      if (!more) break;
      HEARTH_ASSIGN_OR_RETURN(const std::string_view key, read_key());
      if (parent > 0) path_ += '.';
      path_ += key;
      HEARTH_RETURN_IF_ERROR(member(key));
      path_.resize(parent);
    }
    --depth_;
    return {};
  }

  /// Reads an array, calling `element(index)` for each.
  template <typename Element>
  Status array(const Element& element) {
    HEARTH_RETURN_IF_ERROR(open('[', "an array"));
    const size_t parent = path_.size();
    size_t index = 0;
    for (;; ++index) {
      HEARTH_ASSIGN_OR_RETURN(const bool more, next_item(']', index == 0));
      if (!more) break;
      path_ += '[' + std::to_string(index) + ']';
      HEARTH_RETURN_IF_ERROR(element(index));
      path_.resize(parent);
    }
    --depth_;
    return {};
  }

  /// A string; a view of the text or, if it has escapes, of a buffer that lives until the next one.
  Result<std::string_view> string();
  /// A whole number, not negative.
  Result<uint64_t> u64();
  Result<bool> boolean();
  /// Reads any value and forgets it.
  Status skip();
  /// After the outermost value: nothing but white space may follow.
  Status end();

  /// Reads any value into `out` by its path from the text's root: {"a": {"b": [1, null]}} gives
  /// a.b[0] = 1 and a.b[] = 2, the length of the array. Nulls are absent. At most `kMaxFlat`
  /// values.
  Status flatten(Metadata& out);

  /// The path of the current value.
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::unexpected<Error> wrong(const std::string& found, const char* expected) const;
  /// Whether the view that string() or object() gave lies in the text itself.
  [[nodiscard]] bool is_in_text(std::string_view view) const {
    return view.data() >= text_.data() && view.data() < text_.data() + text_.size();
  }

  static constexpr size_t kMaxFlat = 1 << 14;

 private:
  static constexpr int kMaxDepth = 64;

  void skip_blanks();
  Status open(char bracket, const char* expected);
  Result<bool> next_item(char bracket, bool first);
  Result<std::string_view> read_key();
  Result<std::string_view> read_string(std::string& buffer);
  Status unescape(std::string& buffer);
  Result<char32_t> read_hex4();
  Result<MetaValue> number();
  Status expect_word(std::string_view word);
  [[nodiscard]] std::unexpected<Error> malformed(const char* expected) const;

  std::string file_;
  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
  std::string path_;
  std::string key_buffer_;
  std::string buffer_;
};

}  // namespace hearth
