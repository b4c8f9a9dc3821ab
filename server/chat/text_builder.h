#pragma once
// Text under construction, within the budget.

#include <string>
#include <string_view>

#include "server/chat/budget.h"

namespace hearth::jinja {

/// A growing text that faults before it passes the limit, and counts as living memory meanwhile.
class TextBuilder {
 public:
  explicit TextBuilder(Budget& budget) : budget_(budget) {}
  ~TextBuilder() { budget_.release(retained_); }
  TextBuilder(const TextBuilder&) = delete;
  TextBuilder& operator=(const TextBuilder&) = delete;

  TextBuilder& operator<<(std::string_view text) {
    append(text);
    return *this;
  }
  TextBuilder& operator<<(char c) {
    append({&c, 1});
    return *this;
  }
  void append(std::string_view text) {
    budget_.check_text(text_.size() + text.size());
    budget_.text_work(text.size());
    if (text_.size() + text.size() > retained_) grow(text.size());
    text_ += text;
  }
  /// `count` times `text`.
  void repeat(std::string_view text, size_t count) {
    if (text.empty() || count == 0) return;
    if (count > SIZE_MAX / text.size()) limit_fault("a text of the template is too long");
    budget_.check_text(text_.size() + count * text.size());
    budget_.step(count / 64);
    if (text.size() == 1) return append(std::string(count, text[0]));
    for (size_t i = 0; i < count; ++i) append(text);
  }
  [[nodiscard]] size_t size() const { return text_.size(); }
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  void grow(size_t more) {
    size_t wanted = (text_.size() + more) * 3 / 2 + 32;
    budget_.retain(wanted - retained_);
    retained_ = wanted;
  }
  Budget& budget_;
  std::string text_;
  size_t retained_ = 0;
};

}  // namespace hearth::jinja
