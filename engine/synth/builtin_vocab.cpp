#include "engine/synth/builtin_vocab.h"

#include <array>
#include <sstream>
#include <string_view>
#include <unordered_map>

#include "base/check.h"
#include "base/utf8.h"

namespace hearth {

const char* const kChatMlTemplate =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

namespace {

constexpr int32_t kNormal = 1;
constexpr int32_t kControl = 3;
constexpr int32_t kUnused = 5;

// Words in order of use; '_' is a leading space. The first ones fill the small vocabularies.
constexpr std::string_view kWords =
    "_the _and _of _to _in _is _that _it _for _on _with _as _was _he _be _by _at _are _this _have "
    "_from _or _had _his _not _but _you _all _we _can _her _has _there _been _if _more _when _will "
    "_would _who _so _no _she _one _their _they _what _out _up _about _which _some _time _into "
    "_only _do _could _then _other _new _than _its _like _them _people _any _my _over _such _our "
    "_man _me _even _most _made _after _also _did _many _before _must _through _years _where "
    "_much _your _way _well _down _should _because _each _just _those _how _too _little _state "
    "_good _very _make _world _still _see _own _work _men _day _get _here _between _both _life "
    "_being _under _never _know _same _another _while _last _might _us _great _old _year _off "
    "_come _since _against _go _came _right _used _take _three _small _house _water _light _hand "
    "_place _word _number _answer _question _think _again _long _every _found _few _part _write "
    "_story _river _stone _fire _bread _winter _garden _letter _morning _evening _music _window "
    "ing ed er ly ion ation ment ness able ous ive est al ic ity ance ence ful less ish ward "
    "th an in re on at en nd ti es or te of it is ar se ha ou me le de hi ri ro co ne ea ra ce li "
    "ch ll be ma si om ur st un pre dis con com per pro sub sup inter over under";

/// The printable stand-in of a byte in byte-level vocabularies: printable Latin-1 characters stand
/// for themselves, the others for U+0100 and on, in order.
std::array<std::string, 256> byte_spellings() {
  std::array<std::string, 256> out;
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    append_utf8(out[byte], printable ? byte : next);
    if (!printable) ++next;
  }
  return out;
}

class VocabBuilder {
 public:
  explicit VocabBuilder(int32_t normal_tokens)
      : limit_(static_cast<size_t>(normal_tokens)), spellings_(byte_spellings()) {
    // Order of ids as published byte-level vocabularies have it: printable bytes first.
    for (const bool printable : {true, false})
      for (size_t byte = 0; byte < 256; ++byte)
        if (is_printable(byte) == printable) add_token(spellings_[byte], kNormal);
  }

  /// Makes `word` one token, by merges that the words before it may have made already.
  void add_word(std::string_view word) {
    std::vector<std::string> pieces;
    for (const char c : word)
      pieces.push_back(spellings_[c == '_' ? 0x20 : static_cast<uint8_t>(c)]);
    apply_merges(pieces);
    while (pieces.size() > 1 && !full()) {
      add_merge(pieces[0], pieces[1]);
      pieces[0] += pieces[1];
      pieces.erase(pieces.begin() + 1);
    }
  }

  /// Joins whole pieces, shortest way to many tokens that look like words.
  void add_combinations() {
    const size_t num_pieces = vocab.tokens.size();
    for (size_t right = 256; right < num_pieces && !full(); ++right) {
      if (vocab.tokens[right].starts_with(spellings_[0x20])) continue;
      for (size_t left = 256; left < num_pieces && !full(); ++left)
        add_merge(vocab.tokens[left], vocab.tokens[right]);
    }
  }

  int32_t add_token(const std::string& text, int32_t type) {
    const auto id = static_cast<int32_t>(vocab.tokens.size());
    const bool fresh = ids_.emplace(text, id).second;
    HEARTH_CHECK(fresh, "vocabulary has a token twice");
    vocab.tokens.push_back(text);
    vocab.token_types.push_back(type);
    return id;
  }

  BuiltinVocab vocab;

 private:
  [[nodiscard]] bool full() const { return vocab.tokens.size() >= limit_; }
  [[nodiscard]] bool is_printable(size_t byte) const {
    return spellings_[byte].size() == 1 || decode_utf8(spellings_[byte]).code_point < 0x100;
  }

  void add_merge(const std::string& left, const std::string& right) {
    // Copies: the vector of tokens may move while it grows.
    const std::string joined = left + right;
    if (ids_.contains(joined)) return;
    const std::string merge = left + " " + right;
    add_token(joined, kNormal);
    ranks_.emplace(merge, vocab.merges.size());
    vocab.merges.push_back(merge);
  }

  /// Byte-pair encoding (Sennrich et al. 2016): the best-ranked pair is joined until none is left.
  void apply_merges(std::vector<std::string>& pieces) const {
    for (;;) {
      size_t best_at = 0;
      size_t best_rank = SIZE_MAX;
      for (size_t i = 0; i + 1 < pieces.size(); ++i) {
        const auto it = ranks_.find(pieces[i] + " " + pieces[i + 1]);
        if (it == ranks_.end() || it->second >= best_rank) continue;
        best_rank = it->second;
        best_at = i;
      }
      if (best_rank == SIZE_MAX) return;
      pieces[best_at] += pieces[best_at + 1];
      pieces.erase(pieces.begin() + static_cast<ptrdiff_t>(best_at) + 1);
    }
  }

  const size_t limit_;  // bytes and merged tokens
  const std::array<std::string, 256> spellings_;
  std::unordered_map<std::string, int32_t> ids_;
  std::unordered_map<std::string, size_t> ranks_;
};

}  // namespace

BuiltinVocab make_builtin_vocab(int32_t size) {
  HEARTH_CHECK(size >= kMinBuiltinVocab, "vocabulary size");
  VocabBuilder builder(size - 3);
  std::istringstream words{std::string(kWords)};
  for (std::string word; words >> word;) builder.add_word(word);
  builder.add_combinations();
  BuiltinVocab& vocab = builder.vocab;
  vocab.end_of_text = builder.add_token("<|endoftext|>", kControl);
  vocab.im_start = builder.add_token("<|im_start|>", kControl);
  vocab.im_end = builder.add_token("<|im_end|>", kControl);
  for (int32_t id = static_cast<int32_t>(vocab.tokens.size()); id < size; ++id)
    builder.add_token("[PAD" + std::to_string(id) + "]", kUnused);
  return std::move(vocab);
}

}  // namespace hearth
