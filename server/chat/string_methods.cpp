// Methods of strings that search, split, strip and replace.

#include <algorithm>
#include <unordered_map>

#include "server/chat/bound_args.h"
#include "server/chat/operators.h"
#include "server/chat/printing.h"
#include "server/chat/string_case.h"
#include "server/chat/unicode.h"

namespace hearth::jinja {
namespace {

/// Whether `text` has the character of `set` that starts at `bytes`; no set: white space.
bool in_set(std::string_view character, const std::string* set) {
  if (set == nullptr) return is_space(next_char(character).code_point);
  return set->find(character) != std::string::npos;
}

Value strip(Interp& interp, const Value& self, Args& args, bool left, bool right) {
  BoundArgs bound("strip", args, {"chars"});
  const std::string* set = bound.absent(0) ? nullptr : &bound.text(0);
  if (set != nullptr) interp.budget().step(set->size() / 64);
  return strip_text(interp, self, set, left, right);
}

Value method_strip(Interp& interp, const Value& self, Args& args) {
  return strip(interp, self, args, true, true);
}
Value method_lstrip(Interp& interp, const Value& self, Args& args) {
  return strip(interp, self, args, true, false);
}
Value method_rstrip(Interp& interp, const Value& self, Args& args) {
  return strip(interp, self, args, false, true);
}

/// Byte range of `self` that the optional character positions start and end (arguments 1 and 2)
/// select; nothing if start lies behind the end of the text.
struct Window {
  size_t begin, end;
  bool valid;
};

Window window(Interp& interp, const Value& self, const BoundArgs& bound) {
  const StringObject& text = self.string_object();
  auto length = static_cast<int64_t>(text.length());
  auto position = [&](size_t i, int64_t fallback) {
    if (bound.absent(i)) return fallback;
    int64_t at = bound.integer(i, 0);
    return at < 0 ? std::max<int64_t>(0, at + length) : at;
  };
  int64_t begin = position(1, 0);
  int64_t end = std::min(position(2, length), length);
  if (begin > end) return {0, 0, false};
  if (text.ascii()) return {static_cast<size_t>(begin), static_cast<size_t>(end), true};
  interp.budget().step(text.text.size() / 256);
  return {bytes_of_chars(text.text, static_cast<size_t>(begin)),
          bytes_of_chars(text.text, static_cast<size_t>(end)), true};
}

enum class Find : uint8_t { kFirst, kLast };

int64_t find_text(Interp& interp, const Value& self, Args& args, Find which, const char* name) {
  BoundArgs bound(name, args, {"sub", "start", "end"}, 1);
  Window range = window(interp, self, bound);
  if (!range.valid) return -1;
  std::string_view text(self.text());
  interp.budget().text_work(text.size());
  std::string_view part = text.substr(range.begin, range.end - range.begin);
  size_t at = which == Find::kFirst ? part.find(bound.text(0)) : part.rfind(bound.text(0));
  if (at == std::string_view::npos) return -1;
  return static_cast<int64_t>(count_chars(text.substr(0, range.begin + at)));
}

Value method_find(Interp& interp, const Value& self, Args& args) {
  return Value::integer(find_text(interp, self, args, Find::kFirst, "find"));
}
Value method_rfind(Interp& interp, const Value& self, Args& args) {
  return Value::integer(find_text(interp, self, args, Find::kLast, "rfind"));
}
Value method_index(Interp& interp, const Value& self, Args& args) {
  int64_t at = find_text(interp, self, args, Find::kFirst, "index");
  if (at < 0) runtime_fault("substring not found");
  return Value::integer(at);
}
Value method_rindex(Interp& interp, const Value& self, Args& args) {
  int64_t at = find_text(interp, self, args, Find::kLast, "rindex");
  if (at < 0) runtime_fault("substring not found");
  return Value::integer(at);
}

Value method_count(Interp& interp, const Value& self, Args& args) {
  BoundArgs bound("count", args, {"sub", "start", "end"}, 1);
  Window range = window(interp, self, bound);
  if (!range.valid) return Value::integer(0);
  std::string_view text =
      std::string_view(self.text()).substr(range.begin, range.end - range.begin);
  interp.budget().text_work(text.size());
  const std::string& part = bound.text(0);
  if (part.empty()) return Value::integer(static_cast<int64_t>(count_chars(text)) + 1);
  int64_t count = 0;
  for (size_t at = text.find(part); at != std::string_view::npos;
       at = text.find(part, at + part.size())) {
    ++count;
  }
  return Value::integer(count);
}

/// startswith and endswith: a text or a tuple of texts.
bool has_affix(Interp& interp, const Value& self, Args& args, bool at_end) {
  const char* name = at_end ? "endswith" : "startswith";
  BoundArgs bound(name, args, {"prefix", "start", "end"}, 1);
  Window range = window(interp, self, bound);
  if (!range.valid) return false;
  std::string_view text =
      std::string_view(self.text()).substr(range.begin, range.end - range.begin);
  auto matches = [&](const Value& affix) {
    interp.budget().step();
    if (affix.is_undefined()) fault_undefined(affix);
    if (!affix.is_string()) {
      runtime_fault(std::string(name) + " first arg must be str or a tuple of str, not " +
                    type_name(affix));
    }
    return at_end ? text.ends_with(affix.text()) : text.starts_with(affix.text());
  };
  if (!bound[0].is(Kind::kTuple)) return matches(bound[0]);
  const auto& affixes = bound[0].items();
  return std::any_of(affixes.begin(), affixes.end(), matches);
}

Value method_startswith(Interp& interp, const Value& self, Args& args) {
  return Value::boolean(has_affix(interp, self, args, false));
}
Value method_endswith(Interp& interp, const Value& self, Args& args) {
  return Value::boolean(has_affix(interp, self, args, true));
}

Value method_replace(Interp& interp, const Value& self, Args& args) {
  BoundArgs bound("replace", args, {"old", "new", "count"}, 2);
  return replace_text(interp, self, bound.text(0), bound.text(1), bound.integer(2, -1));
}

Value method_removeprefix(Interp& interp, const Value& self, Args& args) {
  BoundArgs bound("removeprefix", args, {"prefix"}, 1);
  if (!self.text().starts_with(bound.text(0))) return self;
  return interp.string(self.text().substr(bound.text(0).size()), self.markup());
}

Value method_removesuffix(Interp& interp, const Value& self, Args& args) {
  BoundArgs bound("removesuffix", args, {"suffix"}, 1);
  const std::string& suffix = bound.text(0);
  if (suffix.empty() || !self.text().ends_with(suffix)) return self;
  return interp.string(self.text().substr(0, self.text().size() - suffix.size()), self.markup());
}

/// Collects the parts of a split.
class Parts {
 public:
  Parts(Interp& interp, const Value& self) : interp_(interp), markup_(self.markup()) {}
  void add(std::string_view part) {
    interp_.budget().step();
    parts_.push_back(interp_.string(std::string(part), markup_));
  }
  Value finish(bool reversed) {
    if (reversed) std::reverse(parts_.begin(), parts_.end());
    return interp_.list(std::move(parts_));
  }

 private:
  Interp& interp_;
  bool markup_;
  std::vector<Value> parts_;
};

Value split_spaces(Interp& interp, const Value& self, int64_t limit) {
  Parts parts(interp, self);
  std::string_view rest = trim_left(self.text());
  while (!rest.empty()) {
    if (limit-- == 0) {
      parts.add(rest);
      break;
    }
    size_t end = 0;
    while (end < rest.size()) {
      Char c = next_char(rest.substr(end));
      if (is_space(c.code_point)) break;
      end += c.bytes;
    }
    parts.add(rest.substr(0, end));
    rest = trim_left(rest.substr(end));
  }
  return parts.finish(false);
}

Value rsplit_spaces(Interp& interp, const Value& self, int64_t limit) {
  Parts parts(interp, self);
  std::string_view rest = trim_right(self.text());
  while (!rest.empty()) {
    if (limit-- == 0) {
      parts.add(rest);
      break;
    }
    size_t begin = rest.size();
    while (begin > 0) {
      size_t bytes = last_char_bytes(rest.substr(0, begin));
      if (is_space(next_char(rest.substr(begin - bytes)).code_point)) break;
      begin -= bytes;
    }
    parts.add(rest.substr(begin));
    rest = trim_right(rest.substr(0, begin));
  }
  return parts.finish(true);
}

Value split(Interp& interp, const Value& self, Args& args, bool from_right) {
  BoundArgs bound(from_right ? "rsplit" : "split", args, {"sep", "maxsplit"});
  int64_t limit = bound.integer(1, -1);
  interp.budget().step(self.text().size() / 256);
  if (bound.absent(0)) {
    return from_right ? rsplit_spaces(interp, self, limit) : split_spaces(interp, self, limit);
  }
  const std::string& separator = bound.text(0);
  if (separator.empty()) runtime_fault("empty separator");
  Parts parts(interp, self);
  std::string_view rest = self.text();
  while (limit-- != 0) {
    size_t at = from_right ? rest.rfind(separator) : rest.find(separator);
    if (at == std::string_view::npos) break;
    if (from_right) {
      parts.add(rest.substr(at + separator.size()));
      rest = rest.substr(0, at);
    } else {
      parts.add(rest.substr(0, at));
      rest = rest.substr(at + separator.size());
    }
  }
  parts.add(rest);
  return parts.finish(from_right);
}

Value method_split(Interp& interp, const Value& self, Args& args) {
  return split(interp, self, args, false);
}
Value method_rsplit(Interp& interp, const Value& self, Args& args) {
  return split(interp, self, args, true);
}

Value method_splitlines(Interp& interp, const Value& self, Args& args) {
  BoundArgs bound("splitlines", args, {"keepends"});
  Parts parts(interp, self);
  for (std::string_view line : split_lines(interp, self.text(), bound.flag(0, false))) {
    parts.add(line);
  }
  return parts.finish(false);
}

Value partition(Interp& interp, const Value& self, Args& args, bool from_right) {
  BoundArgs bound("partition", args, {"sep"}, 1);
  const std::string& separator = bound.text(0);
  if (separator.empty()) runtime_fault("empty separator");
  const std::string& text = self.text();
  interp.budget().text_work(text.size());
  size_t at = from_right ? text.rfind(separator) : text.find(separator);
  auto part = [&](std::string_view piece) {
    return interp.string(std::string(piece), self.markup());
  };
  if (at == std::string::npos) {
    if (from_right) return interp.tuple({part(""), part(""), self});
    return interp.tuple({self, part(""), part("")});
  }
  return interp.tuple({part(text.substr(0, at)), part(separator),
                       part(std::string_view(text).substr(at + separator.size()))});
}

Value method_partition(Interp& interp, const Value& self, Args& args) {
  return partition(interp, self, args, false);
}
Value method_rpartition(Interp& interp, const Value& self, Args& args) {
  return partition(interp, self, args, true);
}

Value method_join(Interp& interp, const Value& self, Args& args) {
  BoundArgs bound("join", args, {"iterable"}, 1);
  if (bound[0].is_undefined()) fault_undefined(bound[0]);
  Items items(interp, bound[0]);
  TextBuilder out(interp.budget());
  for (size_t i = 0; i < items.size(); ++i) {
    if (i != 0) out << self.text();
    if (items[i].is_undefined()) fault_undefined(items[i]);
    if (!items[i].is_string() && !self.markup()) {
      runtime_fault("sequence item " + std::to_string(i) + ": expected str instance, " +
                    type_name(items[i]) + " found");
    }
    out << (self.markup() ? escape_value(interp, items[i]).text() : items[i].text());
  }
  return interp.string(out.take(), self.markup());
}

Value method_format(Interp& interp, const Value& self, Args& args) {
  return format_braces(interp, self, args);
}

Value method_format_map(Interp& interp, const Value& self, Args& args) {
  BoundArgs bound("format_map", args, {"mapping"}, 1);
  if (!bound[0].is(Kind::kDict)) runtime_fault("format_map() needs a mapping");
  Args named;
  for (const Entry& entry : bound[0].dict().entries) {
    if (entry.first.is_string()) named.named.emplace_back(entry.first.text(), entry.second);
  }
  interp.budget().step(named.named.size());
  return format_braces(interp, self, named);
}

}  // namespace

std::string_view trim_left(std::string_view text, const std::string* set) {
  while (!text.empty()) {
    size_t bytes = next_char(text).bytes;
    if (!in_set(text.substr(0, bytes), set)) break;
    text.remove_prefix(bytes);
  }
  return text;
}

std::string_view trim_right(std::string_view text, const std::string* set) {
  while (!text.empty()) {
    size_t bytes = last_char_bytes(text);
    if (!in_set(text.substr(text.size() - bytes), set)) break;
    text.remove_suffix(bytes);
  }
  return text;
}

Value strip_text(Interp& interp, const Value& self, const std::string* set, bool left, bool right) {
  std::string_view text = self.text();
  // A long set is searched for every character that goes.
  size_t set_cost = set == nullptr ? 1 : 1 + set->size() / 64;
  if (left) text = trim_left(text, set);
  if (right) text = trim_right(text, set);
  size_t removed = self.text().size() - text.size();
  interp.budget().step(removed / 256 * set_cost);
  if (removed == 0) return self;
  return interp.string(std::string(text), self.markup());
}

Value replace_text(Interp& interp, const Value& self, std::string_view from, std::string_view to,
                   int64_t count) {
  std::string_view rest = self.text();
  interp.budget().text_work(rest.size());
  if (count < 0) count = INT64_MAX;
  TextBuilder out(interp.budget());
  if (from.empty()) {  // before every character and at the end
    while (count > 0) {
      out << to;
      --count;
      if (rest.empty()) break;
      size_t bytes = next_char(rest).bytes;
      out << rest.substr(0, bytes);
      rest.remove_prefix(bytes);
    }
    out << rest;
    return interp.string(out.take(), self.markup());
  }
  size_t replaced = 0;
  for (; count > 0; --count, ++replaced) {
    size_t at = rest.find(from);
    if (at == std::string_view::npos) break;
    out << rest.substr(0, at) << to;
    rest.remove_prefix(at + from.size());
  }
  interp.budget().step(replaced / 16);
  if (replaced == 0) return self;
  out << rest;
  return interp.string(out.take(), self.markup());
}

std::vector<std::string_view> split_lines(Interp& interp, std::string_view text, bool keep_ends) {
  interp.budget().step(text.size() / 256);
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    Char c = next_char(text.substr(at));
    if (!is_line_end(c.code_point)) {
      at += c.bytes;
      continue;
    }
    size_t end = at;
    at += c.bytes;
    if (c.code_point == '\r' && at < text.size() && text[at] == '\n') ++at;
    lines.push_back(text.substr(begin, (keep_ends ? at : end) - begin));
    begin = at;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  interp.budget().step(lines.size() / 4);
  return lines;
}

MethodFn find_string_method(std::string_view name) {
  static const std::unordered_map<std::string_view, MethodFn> kMethods = {
      {"strip", method_strip},
      {"lstrip", method_lstrip},
      {"rstrip", method_rstrip},
      {"find", method_find},
      {"rfind", method_rfind},
      {"index", method_index},
      {"rindex", method_rindex},
      {"count", method_count},
      {"startswith", method_startswith},
      {"endswith", method_endswith},
      {"replace", method_replace},
      {"removeprefix", method_removeprefix},
      {"removesuffix", method_removesuffix},
      {"split", method_split},
      {"rsplit", method_rsplit},
      {"splitlines", method_splitlines},
      {"partition", method_partition},
      {"rpartition", method_rpartition},
      {"join", method_join},
      {"format", method_format},
      {"format_map", method_format_map},
  };
  auto it = kMethods.find(name);
  return it != kMethods.end() ? it->second : find_string_case_method(name);
}

}  // namespace hearth::jinja
