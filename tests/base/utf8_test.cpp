#include "base/utf8.h"

#include <doctest/doctest.h>

namespace hearth {

TEST_CASE("decode_utf8 accepts what RFC 3629 accepts and nothing else") {
  CHECK(decode_utf8("a").code_point == U'a');
  CHECK(decode_utf8("\xC3\xA9").code_point == U'é');
  CHECK(decode_utf8("\xE2\x82\xAC").length == 3);
  CHECK(decode_utf8("\xF0\x9F\x98\x80").code_point == U'\U0001F600');
  CHECK_FALSE(decode_utf8("\xC0\x80").valid);          // overlong
  CHECK_FALSE(decode_utf8("\xED\xA0\x80").valid);      // surrogate
  CHECK_FALSE(decode_utf8("\xF4\x90\x80\x80").valid);  // above U+10FFFF
  CHECK_FALSE(decode_utf8("\xE2\x82").valid);          // cut
}

TEST_CASE("append_utf8 inverts decode_utf8") {
  for (char32_t c :
       {U'a', U'\x7F', U'\x80', U'\u07FF', U'\u0800', U'\uFFFF', U'\U00010000', U'\U0010FFFF'}) {
    std::string text;
    append_utf8(text, c);
    CHECK(decode_utf8(text).code_point == c);
    CHECK(decode_utf8(text).length == text.size());
  }
}

TEST_CASE("incomplete_utf8_suffix finds only a suffix that can still be completed") {
  CHECK(incomplete_utf8_suffix("abc") == 0);
  CHECK(incomplete_utf8_suffix("ab\xE2") == 1);
  CHECK(incomplete_utf8_suffix("ab\xE2\x82") == 2);
  CHECK(incomplete_utf8_suffix("\xF0\x9F\x98") == 3);
  CHECK(incomplete_utf8_suffix("\xE2\x82\xAC") == 0);
  CHECK(incomplete_utf8_suffix("\xED\xA0") == 0);  // a surrogate can never become valid
  CHECK(incomplete_utf8_suffix("\x80\x80\x80") == 0);
}

TEST_CASE("sanitize_utf8 replaces broken parts and keeps the rest") {
  CHECK(sanitize_utf8("a\xFFz") == "a\uFFFDz");
  CHECK(sanitize_utf8("h\xC3\xA9") == "hé");
  CHECK(sanitize_utf8("\xE2\x82\xE2\x82\xAC\x80") == "\uFFFD€\uFFFD");
  CHECK(sanitize_utf8("\x80\x80") == "\uFFFD\uFFFD");
  // The example of Unicode 15, table 3-11.
  CHECK(sanitize_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41") == "\uFFFD\uFFFD\uFFFD\uFFFDA");
  CHECK(sanitize_utf8("\xED\xA0\x80") == "\uFFFD\uFFFD\uFFFD");  // a surrogate has no subpart
}

}  // namespace hearth
