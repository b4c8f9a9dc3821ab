// GET /: what runs here, for people.

#include <string>

#include "server/api/endpoints.h"

namespace hearth::api {

Status root(Call& call) {
  const ApiContext& context = call.context;
  std::string text = "Hearth serves a language model over OpenAI's REST API.\n\n";
  // Whoever has no key learns nothing about the model.
  const bool keyed = context.access != nullptr && context.access->requires_key();
  if (!keyed) {
    text += "model    " + context.model.id + "\n";
    text += "context  " + std::to_string(context.model.context_tokens) + " tokens\n\n";
  }
  text +=
      "POST /v1/chat/completions   POST /v1/completions   GET /v1/models\n"
      "POST /tokenize   POST /detokenize   POST /apply-template\n"
      "GET /health   GET /livez   GET /readyz   GET /metrics\n";
  if (keyed) text += "\nRequests need an API key: Authorization: Bearer KEY\n";
  call.response.send(200, "text/plain; charset=utf-8", std::move(text));
  return {};
}

}  // namespace hearth::api
