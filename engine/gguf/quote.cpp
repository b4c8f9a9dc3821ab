#include "engine/gguf/quote.h"

#include "base/utf8.h"

namespace hearth {

std::string quote_foreign(std::string_view text) {
  // Longer than any tensor name (64) or key in use, short enough for one line of a terminal.
  constexpr size_t kShownBytes = 100;
  constexpr std::string_view kHex = "0123456789abcdef";
  const std::string clean = sanitize_utf8(text.substr(0, kShownBytes));
  std::string out = "'";
  for (const char c : clean) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7F) {
      out.push_back(c);
    } else {
      out += "\\x";
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    }
  }
  if (text.size() > kShownBytes) out += "…";
  out += "'";
  if (text.size() > kShownBytes) out += " (" + std::to_string(text.size()) + " bytes)";
  return out;
}

}  // namespace hearth
