#pragma once
// From a conversation to the text the model sees: shared by /v1/chat/completions and
// /apply-template.

#include <string>

#include "server/api/api.h"
#include "server/api/validator.h"

namespace hearth::api {

struct ChatPrompt {
  OrderedJson messages = OrderedJson::array();
  OrderedJson tools;  // null: none
  OrderedJson kwargs = OrderedJson::object();
  bool add_generation_prompt = true;
  bool continue_final_message = false;  // the last message is open: the model goes on with it
};

/// Takes messages, chat_template_kwargs, add_generation_prompt and continue_final_message.
void read_chat_prompt(FieldReader& reader, ChatPrompt& prompt);

/// The model's template applied. kInvalidArgument for `messages` with the template's own words if
/// it refuses them or fails; kInvalidArgument if the model has no template.
Result<std::string> render_chat_prompt(const ApiContext& context, const ChatPrompt& prompt);

}  // namespace hearth::api
