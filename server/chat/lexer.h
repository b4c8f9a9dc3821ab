#pragma once
// Template text to tokens, with trim_blocks and lstrip_blocks as chat templates expect them.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/chat/template_error.h"

namespace hearth::jinja {

enum class TokenType : uint8_t {
  kData,        // text between tags
  kPrintBegin,  // {{
  kPrintEnd,    // }}
  kBlockBegin,  // {%
  kBlockEnd,    // %}
  kName,
  kString,   // value: the text without quotes and escapes
  kInteger,  // value: digits with prefix, without underscores
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenType type = TokenType::kEnd;
  std::string value;
  int line = 1;

  [[nodiscard]] bool is_operator(std::string_view op) const {
    return type == TokenType::kOperator && value == op;
  }
  [[nodiscard]] bool is_name(std::string_view name) const {
    return type == TokenType::kName && value == name;
  }
};

/// Larger template texts are refused: real ones have less than 200 KiB.
inline constexpr size_t kMaxTemplateBytes = 4U << 20;

/// The tokens of `source`, ending in kEnd. Throws TemplateError (kSyntax, with the line).
std::vector<Token> tokenize_template(std::string_view source);

}  // namespace hearth::jinja
