#pragma once
// The alphabet of byte-level vocabularies: each byte is written as one printable character.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace hearth {

/// The character for each byte: itself where Latin-1 has a visible one, else U+0100 and on.
[[nodiscard]] const std::array<char32_t, 256>& byte_level_alphabet();

/// Appends `bytes` in the alphabet, as UTF-8.
void append_byte_level(std::string& out, std::string_view bytes);

/// The bytes that a vocabulary text stands for; characters outside the alphabet stand for
/// themselves.
[[nodiscard]] std::string from_byte_level(std::string_view text);

/// The value of a byte token's text, "<0x00>" to "<0xFF>"; -1 for any other text.
[[nodiscard]] int byte_token_value(std::string_view text);

}  // namespace hearth
