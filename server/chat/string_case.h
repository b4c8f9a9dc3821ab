#pragma once
// Text operations that methods and filters share.

#include <string>
#include <string_view>
#include <vector>

#include "server/chat/interp.h"

namespace hearth::jinja {

/// `text` without leading or trailing characters of `set` (null: white space).
std::string_view trim_left(std::string_view text, const std::string* set = nullptr);
std::string_view trim_right(std::string_view text, const std::string* set = nullptr);
Value strip_text(Interp& interp, const Value& self, const std::string* set, bool left, bool right);

/// `self` with `from` replaced by `to`, at most `count` times (negative: always).
Value replace_text(Interp& interp, const Value& self, std::string_view from, std::string_view to,
                   int64_t count);

/// str.splitlines.
std::vector<std::string_view> split_lines(Interp& interp, std::string_view text, bool keep_ends);

/// A text converted by one of the functions of unicode.h, charged to the budget.
Value lower_text(Interp& interp, const Value& self);
Value upper_text(Interp& interp, const Value& self);
/// First character in title case, the others in lower case.
Value capitalize_text(Interp& interp, const Value& self);
/// `text` with `fill` on both sides to `width` characters, as str.center does.
Value center_text(Interp& interp, const Value& self, int64_t width, std::string_view fill);

bool is_lower_text(std::string_view text);
bool is_upper_text(std::string_view text);

/// Methods about case, character classes and padding; part of find_string_method.
MethodFn find_string_case_method(std::string_view name);

}  // namespace hearth::jinja
