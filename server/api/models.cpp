// GET /v1/models and /v1/models/{id}

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "server/api/endpoints.h"

namespace hearth::api {
namespace {

// OpenAI's members, then what clients need to know before they send: the limit of one request.
OrderedJson model_json(const ModelInfo& model, const std::string& id) {
  return {{"id", id},
          {"object", "model"},
          {"created", model.created},
          {"owned_by", "hearth"},
          {"root", model.id},
          {"max_model_len", model.context_tokens},
          {"vocab_size", model.vocab_size},
          {"description", model.description}};
}

}  // namespace

Status list_models(Call& call) {
  const ModelInfo& model = call.context.model;
  OrderedJson data = OrderedJson::array();
  data.push_back(model_json(model, model.id));
  for (const std::string& alias : model.aliases) data.push_back(model_json(model, alias));
  call.response.send_json(200, {{"object", "list"}, {"data", std::move(data)}});
  return {};
}

Status get_model(Call& call) {
  const ModelInfo& model = call.context.model;
  const std::string id(call.path_tail);
  if (id != model.id && std::ranges::find(model.aliases, id) == model.aliases.end()) {
    return fail(ErrorCode::kNotFound,
                fmt::format("the model '{}' does not exist; this server has '{}'",
                            id.substr(0, 128), model.id),
                "model");
  }
  call.response.send_json(200, model_json(model, id));
  return {};
}

}  // namespace hearth::api
