#pragma once
// JSON from outside, read strictly and with bounds that hold while it is read, before there is a
// tree of values to overflow a stack or fill the memory.

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "server/chat/chat_template.h"

namespace hearth::api {

struct JsonLimits {
  size_t max_depth = 64;         // arrays and objects inside each other
  size_t max_values = 1U << 20;  // values in the whole text: a value costs up to 80 bytes
  size_t max_members = 4096;     // of one object: members are searched one after the other
};

/// Reads one JSON value (RFC 8259) that fills all of `text`. kMalformed, with the byte where it
/// went wrong, for anything else: invalid UTF-8, lone surrogates, NaN and Infinity, comments,
/// numbers beyond double, trailing bytes; also for a key that comes twice in one object, which RFC
/// 8259 leaves open and on which two readers disagree. kInvalidArgument past `limits`.
Result<OrderedJson> parse_json(std::string_view text, const JsonLimits& limits = {});

/// The text of `value`; strings that are not UTF-8 (the model wrote them) get U+FFFD.
std::string to_text(const OrderedJson& value);

}  // namespace hearth::api
