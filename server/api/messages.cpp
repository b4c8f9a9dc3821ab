#include "server/api/messages.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "server/api/json_body.h"

namespace hearth::api {
namespace {

constexpr std::array<std::string_view, 5> kRoles{"system", "developer", "user", "assistant",
                                                 "tool"};

// The text of one content part; none if it was refused.
std::optional<std::string> read_part(FieldReader& message, const OrderedJson& part,
                                     const std::string& path, bool assistant) {
  FieldReader reader(part, path);
  std::string type;
  std::string text;
  if (reader.ok() && !reader.text("type", type)) reader.require("type");
  // An assistant's refusal is sent back as it came; for the model it is what was said.
  const bool refusal = assistant && type == "refusal";
  if (reader.ok() && type != "text" && !refusal) {
    reader.refuse(
        "type", ErrorCode::kUnsupported,
        fmt::format("content of type '{}' is not supported, only 'text' is", type.substr(0, 64)));
  }
  const std::string_view member = refusal ? "refusal" : "text";
  if (reader.ok() && !reader.text(member, text)) reader.require(member);
  if (const Status status = reader.finish(); !status) {
    message.refuse(status.error());
    return std::nullopt;
  }
  return text;
}

// `content` as one string; none if it is absent, null or was refused.
std::optional<std::string> read_content(FieldReader& message, bool assistant) {
  const OrderedJson* const content = message.take("content");
  if (content == nullptr) return std::nullopt;
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) {
    message.refuse_type("content", "a string or an array of parts", *content);
    return std::nullopt;
  }
  if (content->empty()) {
    message.refuse("content", fmt::format("{} has no parts", message.path_of("content")));
    return std::nullopt;
  }
  std::string joined;
  for (size_t i = 0; i < content->size(); ++i) {
    const std::string path = message.path_of(fmt::format("content[{}]", i));
    const auto text = read_part(message, (*content)[i], path, assistant);
    if (!text) return std::nullopt;
    if (i > 0) joined += '\n';
    joined += *text;
  }
  return joined;
}

void require_text(FieldReader& reader, std::string_view name, OrderedJson& out) {
  std::string value;
  if (reader.text(name, value)) {
    out[std::string(name)] = std::move(value);
  } else {
    reader.require(name);
  }
}

OrderedJson read_function(FieldReader& call) {
  OrderedJson out = OrderedJson::object();
  const OrderedJson* const function = call.take("function");
  if (function == nullptr) {
    call.require("function");
    return out;
  }
  FieldReader reader(*function, call.path_of("function"));
  require_text(reader, "name", out);
  require_text(reader, "arguments", out);
  if (const Status status = reader.finish(); !status) call.refuse(status.error());
  return out;
}

OrderedJson read_tool_calls(FieldReader& message, const OrderedJson& calls) {
  OrderedJson out = OrderedJson::array();
  for (size_t i = 0; i < calls.size() && message.ok(); ++i) {
    FieldReader reader(calls[i], message.path_of(fmt::format("tool_calls[{}]", i)));
    OrderedJson call = OrderedJson::object();
    if (reader.ok()) require_text(reader, "id", call);
    if (reader.ok()) require_text(reader, "type", call);
    if (reader.ok() && call["type"] != "function") {
      reader.refuse("type", ErrorCode::kUnsupported,
                    fmt::format("{} must be 'function'", reader.path_of("type")));
    }
    if (reader.ok()) call["function"] = read_function(reader);
    if (const Status status = reader.finish(); !status) message.refuse(status.error());
    out.push_back(std::move(call));
  }
  return out;
}

void copy_text(FieldReader& reader, std::string_view name, OrderedJson& out) {
  std::string value;
  if (reader.text(name, value)) out[std::string(name)] = std::move(value);
}

// What only an assistant's message may have.
void read_assistant(FieldReader& reader, OrderedJson& out) {
  copy_text(reader, "reasoning_content", out);
  OrderedJson dropped = OrderedJson::object();
  copy_text(reader, "refusal", dropped);
  reader.array("annotations");
  for (const char* const name : {"audio", "function_call"}) {
    if (reader.take(name) != nullptr) {
      reader.refuse(name, ErrorCode::kUnsupported,
                    fmt::format("{} is not supported", reader.path_of(name)));
    }
  }
  const OrderedJson* const calls = reader.array("tool_calls");
  if (calls != nullptr && !calls->empty()) out["tool_calls"] = read_tool_calls(reader, *calls);
}

OrderedJson read_message(FieldReader& request, const OrderedJson& message, size_t index) {
  FieldReader reader(message, fmt::format("messages[{}]", index));
  OrderedJson out = OrderedJson::object();
  std::string role;
  if (reader.ok() && !reader.text("role", role)) reader.require("role");
  if (reader.ok() && std::ranges::find(kRoles, role) == kRoles.end()) {
    reader.refuse("role", fmt::format("{} is '{}', but must be system, developer, user, assistant "
                                      "or tool",
                                      reader.path_of("role"), role.substr(0, 64)));
  }
  const bool assistant = role == "assistant";
  out["role"] = role == "developer" ? "system" : role;
  const std::optional<std::string> content = read_content(reader, assistant);
  if (content) {
    out["content"] = *content;
  } else if (assistant) {
    out["content"] = nullptr;
  }
  copy_text(reader, "name", out);
  if (assistant) read_assistant(reader, out);
  if (role == "tool" && reader.ok()) require_text(reader, "tool_call_id", out);
  if (reader.ok() && !content && !out.contains("tool_calls")) reader.require("content");
  if (const Status status = reader.finish(); !status) request.refuse(status.error());
  return out;
}

// Calls `change` with the arguments of each tool call.
template <typename F>
void for_each_arguments(OrderedJson& messages, F change) {
  for (OrderedJson& message : messages) {
    const auto calls = message.find("tool_calls");
    if (calls == message.end()) continue;
    for (OrderedJson& call : *calls) change(call["function"]["arguments"]);
  }
}

// A tree of values takes some twenty times the room of its text, and these texts escape the bound
// on values that the body's own tree has.
constexpr size_t kMaxArgumentsBytes = 4U << 20;

void parse_tool_arguments(FieldReader& reader, OrderedJson& messages) {
  size_t bytes = 0;
  for_each_arguments(messages, [&](OrderedJson& arguments) {
    bytes += arguments.get_ref<const std::string&>().size();
    if (bytes > kMaxArgumentsBytes) return;
    Result<OrderedJson> parsed = parse_json(arguments.get_ref<const std::string&>());
    if (parsed && parsed->is_object()) arguments = std::move(*parsed);
  });
  if (bytes > kMaxArgumentsBytes) {
    reader.refuse("messages", fmt::format("the arguments of all tool calls have {} bytes, at most "
                                          "{} are allowed",
                                          bytes, kMaxArgumentsBytes));
  }
}

}  // namespace

OrderedJson read_messages(FieldReader& reader) {
  OrderedJson out = OrderedJson::array();
  const OrderedJson* const messages = reader.array("messages");
  if (messages == nullptr) {
    reader.require("messages");
    return out;
  }
  if (messages->empty()) reader.refuse("messages", "messages is empty");
  for (size_t i = 0; i < messages->size() && reader.ok(); ++i) {
    out.push_back(read_message(reader, (*messages)[i], i));
  }
  if (reader.ok()) parse_tool_arguments(reader, out);
  return out;
}

bool stringify_tool_arguments(OrderedJson& messages) {
  bool changed = false;
  for_each_arguments(messages, [&](OrderedJson& arguments) {
    if (arguments.is_string()) return;
    arguments = to_text(arguments);
    changed = true;
  });
  return changed;
}

}  // namespace hearth::api
