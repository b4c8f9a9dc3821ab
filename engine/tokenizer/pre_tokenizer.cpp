#include "engine/tokenizer/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "base/utf8.h"

namespace hearth {

namespace {

// Unicode's White_Space is exactly these controls and \p{Z}. The library's own \s also has U+180E,
// which is a format character since Unicode 6.3.
constexpr std::string_view kWhiteSpace = R"(\t-\r\x{85}\p{Z})";

/// What one thread needs to match: the result's offsets, limits, and a stack for compiled code.
class Matcher {
 public:
  explicit Matcher(size_t text_bytes) {
    data_ = pcre2_match_data_create(1, nullptr);
    context_ = pcre2_match_context_create(nullptr);
    // Reserved, not touched: no pattern nests, so the first page serves; the limit is for safety.
    stack_ = pcre2_jit_stack_create(size_t{32} << 10, size_t{8} << 20, nullptr);
    HEARTH_CHECK(data_ && context_ && stack_, "out of memory");
    pcre2_jit_stack_assign(context_, nullptr, stack_);
    // The patterns take a few steps per byte at most. A limit in proportion to the text stops a
    // pattern that would not, and never one that does.
    const size_t limit = std::min<size_t>(size_t{1'000'000} + 64 * text_bytes, UINT32_MAX);
    pcre2_set_match_limit(context_, static_cast<uint32_t>(limit));
    pcre2_set_heap_limit(context_, uint32_t{1} << 20);  // KiB
  }
  ~Matcher() {
    pcre2_match_data_free(data_);
    pcre2_match_context_free(context_);
    pcre2_jit_stack_free(stack_);
  }
  Matcher(const Matcher&) = delete;
  Matcher& operator=(const Matcher&) = delete;

  /// The next match in `text` at or after `from`; false if there is none.
  bool next(const pcre2_code* code, std::string_view text, size_t from, size_t& begin,
            size_t& end) {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    int rc = pcre2_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK, data_, context_);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
      rc = pcre2_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data_,
                       context_);
    }
    if (rc == PCRE2_ERROR_NOMATCH) return false;
    if (rc < 0) {
      spdlog::error("pre-tokenizer pattern gave up with code {}; the rest is one word", rc);
      return false;
    }
    const size_t* offsets = pcre2_get_ovector_pointer(data_);
    begin = offsets[0];
    end = offsets[1];
    return end > begin;  // no pattern matches nothing; were there one, it would not advance
  }

 private:
  pcre2_match_data* data_;
  pcre2_match_context* context_;
  pcre2_jit_stack* stack_;
};

std::vector<uint32_t> cut(const pcre2_code* code, std::string_view text,
                          const std::vector<uint32_t>& pieces, Matcher& matcher) {
  std::vector<uint32_t> out;
  out.reserve(pieces.size() + text.size() / 4);
  uint32_t begin = 0;
  for (const uint32_t end : pieces) {
    const std::string_view piece = text.substr(begin, end - begin);
    size_t at = 0, match_begin = 0, match_end = 0;
    while (at < piece.size() && matcher.next(code, piece, at, match_begin, match_end)) {
      if (match_begin > at) out.push_back(begin + static_cast<uint32_t>(match_begin));
      out.push_back(begin + static_cast<uint32_t>(match_end));
      at = match_end;
    }
    if (at < piece.size()) out.push_back(end);
    begin = end;
  }
  return out;
}

/// `text` with each byte that is not UTF-8 replaced by one control character; same length.
std::string replace_invalid(std::string_view text) {
  std::string out(text);
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text.substr(at));
    if (!c.valid) out[at] = '\x01';
    at += c.length;
  }
  return out;
}

}  // namespace

std::string expand_white_space(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[++i];
      if (next == 's') {
        out += in_class ? std::string(kWhiteSpace) : fmt::format("[{}]", kWhiteSpace);
      } else if (next == 'S') {
        HEARTH_CHECK(!in_class, "\\S in a class can not be expanded");
        out += fmt::format("[^{}]", kWhiteSpace);
      } else {
        out += {c, next};
      }
      continue;
    }
    if (c == '[') in_class = true;
    if (c == ']') in_class = false;
    out += c;
  }
  return out;
}

void PreTokenizer::CodeDeleter::operator()(void* code) const {
  pcre2_code_free(static_cast<pcre2_code*>(code));
}

Result<PreTokenizer> PreTokenizer::create(const PreTokenizerRules& rules) {
  PreTokenizer out;
  for (const std::string_view pattern : rules.patterns) {
    const std::string expanded = expand_white_space(pattern);
    int error = 0;
    size_t offset = 0;
    pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expanded.data()), expanded.size(),
                                     PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
    if (code == nullptr) {
      return fail(ErrorCode::kInternal, fmt::format("the pattern of pre-tokenizer {} does not "
                                                    "compile: code {} at byte {}",
                                                    rules.name, error, offset));
    }
    out.codes_.emplace_back(code);
    // Without a compiler (or where memory may not become code) the interpreter does the same.
    if (const int rc = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); rc != 0) {
      spdlog::debug("pre-tokenizer {}: interpreted, code {}", rules.name, rc);
    }
  }
  return out;
}

std::vector<uint32_t> PreTokenizer::split(std::string_view text) const {
  if (text.empty()) return {};
  HEARTH_CHECK(text.size() <= UINT32_MAX, "a text of 4 GiB and more is cut before");
  std::string replaced;
  if (!is_valid_utf8(text)) {
    replaced = replace_invalid(text);
    text = replaced;
  }
  Matcher matcher(text.size());
  std::vector<uint32_t> pieces{static_cast<uint32_t>(text.size())};
  for (const Code& code : codes_) {
    pieces = cut(static_cast<const pcre2_code*>(code.get()), text, pieces, matcher);
  }
  return pieces;
}

}  // namespace hearth
