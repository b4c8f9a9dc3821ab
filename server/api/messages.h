#pragma once
// The conversation of a chat request, checked and brought into the form that templates expect.

#include "server/api/validator.h"

namespace hearth::api {

/// Takes `messages`: at least one, each an object with role system, developer, user, assistant or
/// tool. In the result
/// - content is a string: text parts are joined with a newline; other kinds of parts are refused;
///   an assistant's content may be null beside tool_calls;
/// - developer is system, the name that templates know;
/// - arguments of tool calls are objects where their text is one (templates print them as JSON),
///   else the text: what a model once wrote never fails a request;
/// - refusal and annotations, which answers carry, are dropped. name, tool_call_id and
///   reasoning_content stay.
/// Errors name the place: messages[2].content[0].type.
OrderedJson read_messages(FieldReader& reader);

/// The same messages with the arguments of tool calls as text, for templates that print them as
/// they are. True if there was anything to change.
bool stringify_tool_arguments(OrderedJson& messages);

}  // namespace hearth::api
