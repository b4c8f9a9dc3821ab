// POST /apply-template

#include "server/api/chat_prompt.h"
#include "server/api/endpoints.h"
#include "server/api/generation_options.h"
#include "server/api/json_body.h"

namespace hearth::api {

Status apply_template(Call& call) {
  HEARTH_ASSIGN_OR_RETURN(const OrderedJson body, parse_json(call.request.body));
  FieldReader reader(body);
  read_model(reader, call.context.model);
  ChatPrompt prompt;
  read_chat_prompt(reader, prompt);
  // Rendering is all that happens here, so tools can be looked at though no endpoint calls them.
  if (const OrderedJson* const tools = reader.array("tools")) {
    if (!tools->empty()) prompt.tools = *tools;
  }
  HEARTH_RETURN_IF_ERROR(reader.finish());
  HEARTH_ASSIGN_OR_RETURN(const std::string text, render_chat_prompt(call.context, prompt));
  call.response.send_json(200, OrderedJson::object({{"prompt", text}}));
  return {};
}

}  // namespace hearth::api
