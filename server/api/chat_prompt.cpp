#include "server/api/chat_prompt.h"

#include <fmt/format.h>

#include <ctime>
#include <utility>

#include "server/api/messages.h"

namespace hearth::api {
namespace {

// Set by the request's own fields or by the model; a second value would be silently lost.
constexpr const char* kReservedNames[] = {"messages",  "tools",     "add_generation_prompt",
                                          "bos_token", "eos_token", "continue_final_message"};

Error about_messages(Error error) {
  // A template that fails on these messages is no fault of the server's.
  if (error.code == ErrorCode::kMalformed || error.code == ErrorCode::kTooLarge) {
    error.code = ErrorCode::kInvalidArgument;
    error.message = "the chat template fails on these messages: " + error.message;
  }
  error.param = "messages";
  return error;
}

Result<std::string> render(const ChatTemplate& chat_template, ChatTemplateInput input) {
  Result<std::string> text = chat_template.render(input);
  // Some templates print the arguments of tool calls with tojson, others as the text they are. The
  // first kind is tried first: given a text it would silently quote it twice.
  if (!text && stringify_tool_arguments(input.messages)) {
    if (Result<std::string> again = chat_template.render(input)) return again;
  }
  if (!text) return std::unexpected(about_messages(text.error()));
  return text;
}

// Renders with a mark behind the open message's content and cuts there, so that whatever the
// template closes a message with is left out.
Result<std::string> render_open(const ApiContext& context, ChatTemplateInput input) {
  const std::string mark = fmt::format("\x01{:016x}\x02", context.random());
  OrderedJson& content = input.messages.back()["content"];
  content = content.get<std::string>() + mark;
  HEARTH_ASSIGN_OR_RETURN(std::string text, render(*context.chat_template, std::move(input)));
  const size_t cut = text.rfind(mark);
  if (cut == std::string::npos) {
    return fail(ErrorCode::kInvalidArgument,
                "the chat template does not print the final message as it is, so it can not be "
                "continued",
                "continue_final_message");
  }
  text.resize(cut);
  return text;
}

}  // namespace

void read_chat_prompt(FieldReader& reader, ChatPrompt& prompt) {
  prompt.messages = read_messages(reader);
  if (const OrderedJson* const kwargs = reader.object("chat_template_kwargs")) {
    for (const char* const name : kReservedNames) {
      if (!kwargs->contains(name)) continue;
      reader.refuse(std::string("chat_template_kwargs.") + name,
                    fmt::format("chat_template_kwargs must not set {}", name));
    }
    prompt.kwargs = *kwargs;
  }
  const bool explicit_prompt =
      reader.boolean("add_generation_prompt", prompt.add_generation_prompt);
  reader.boolean("continue_final_message", prompt.continue_final_message);
  if (!prompt.continue_final_message || !reader.ok()) return;
  if (explicit_prompt && prompt.add_generation_prompt) {
    return reader.refuse("continue_final_message",
                         "continue_final_message and add_generation_prompt exclude each other");
  }
  prompt.add_generation_prompt = false;
  const OrderedJson& last = prompt.messages.back();
  if (last["role"] != "assistant" || !last["content"].is_string()) {
    reader.refuse("continue_final_message",
                  "continue_final_message needs an assistant's message with content at the end");
  }
}

Result<std::string> render_chat_prompt(const ApiContext& context, const ChatPrompt& prompt) {
  if (context.chat_template == nullptr) {
    return fail(ErrorCode::kInvalidArgument,
                "the model has no chat template: " + context.chat_template_error, "messages");
  }
  ChatTemplateInput input{.messages = prompt.messages,
                          .tools = prompt.tools,
                          .add_generation_prompt = prompt.add_generation_prompt,
                          .kwargs = prompt.kwargs,
                          .tokens = context.template_tokens,
                          .now_unix_seconds = static_cast<int64_t>(std::time(nullptr))};
  if (prompt.continue_final_message) return render_open(context, std::move(input));
  return render(*context.chat_template, std::move(input));
}

}  // namespace hearth::api
