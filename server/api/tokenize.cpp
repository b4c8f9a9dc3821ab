// POST /tokenize and /detokenize

#include <optional>
#include <string>
#include <utility>

#include "base/utf8.h"
#include "server/api/endpoints.h"
#include "server/api/generation_options.h"
#include "server/api/json_body.h"
#include "server/api/prompt_tokens.h"

namespace hearth::api {
namespace {

struct TokenizeRequest {
  std::string text;
  EncodeOptions encode{.add_special = false, .parse_special = true};
  bool with_pieces = false;
};

// The text goes by three names. `prompt` is counted as /v1/completions would see it, with the
// tokens the vocabulary adds; `text` and `content` are a piece of text. `add_special` overrules.
void read_text(FieldReader& reader, TokenizeRequest& request) {
  int found = 0;
  for (const char* const name : {"text", "content", "prompt"}) {
    if (!reader.text(name, request.text)) continue;
    if (++found > 1) reader.refuse(name, "give one of text, content and prompt");
    request.encode.add_special = std::string_view(name) == "prompt";
  }
  if (found == 0) reader.require("text");
}

Result<TokenizeRequest> read_tokenize(const ApiContext& context, const OrderedJson& body) {
  TokenizeRequest request;
  FieldReader reader(body);
  read_model(reader, context.model);
  read_text(reader, request);
  bool& add_special = request.encode.add_special;
  const bool given = reader.boolean("add_special", add_special);
  if (reader.boolean("add_special_tokens", add_special) && given) {
    reader.refuse("add_special_tokens", "add_special_tokens and add_special mean the same");
  }
  reader.boolean("parse_special", request.encode.parse_special);
  reader.boolean("with_pieces", request.with_pieces);
  HEARTH_RETURN_IF_ERROR(reader.finish());
  return request;
}

// A token's own bytes: text where they are whole characters, else their numbers.
OrderedJson piece_json(const Tokenizer& tokenizer, TokenId id) {
  const std::string bytes = tokenizer.token_bytes(id, /*render_special=*/true);
  if (is_valid_utf8(bytes)) return {{"id", id}, {"piece", bytes}};
  OrderedJson numbers = OrderedJson::array();
  for (const char byte : bytes) numbers.push_back(static_cast<unsigned char>(byte));
  return {{"id", id}, {"piece", std::move(numbers)}};
}

}  // namespace

Status tokenize(Call& call) {
  const Tokenizer& tokenizer = call.context.tokenizer;
  HEARTH_ASSIGN_OR_RETURN(const OrderedJson body, parse_json(call.request.body));
  HEARTH_ASSIGN_OR_RETURN(const TokenizeRequest request, read_tokenize(call.context, body));
  const std::vector<TokenId> ids = tokenizer.encode(request.text, request.encode);
  OrderedJson tokens = OrderedJson::array();
  for (const TokenId id : ids) {
    tokens.push_back(request.with_pieces ? piece_json(tokenizer, id) : OrderedJson(id));
  }
  call.response.send_json(200, {{"tokens", std::move(tokens)},
                                {"count", ids.size()},
                                {"max_model_len", call.context.model.context_tokens}});
  return {};
}

Status detokenize(Call& call) {
  const Tokenizer& tokenizer = call.context.tokenizer;
  HEARTH_ASSIGN_OR_RETURN(const OrderedJson body, parse_json(call.request.body));
  FieldReader reader(body);
  read_model(reader, call.context.model);
  bool render_special = true;
  reader.boolean("render_special", render_special);
  std::optional<std::vector<TokenId>> ids;
  if (const OrderedJson* const values = reader.array("tokens")) {
    ids = read_token_ids(reader, *values, "tokens", tokenizer.vocab_size());
  } else {
    reader.require("tokens");
  }
  HEARTH_RETURN_IF_ERROR(reader.finish());
  const std::string text = sanitize_utf8(tokenizer.decode(*ids, render_special));
  // Under each of the names that clients send the text by.
  call.response.send_json(200, {{"text", text}, {"content", text}, {"prompt", text}});
  return {};
}

}  // namespace hearth::api
