#pragma once
// What the gateway needs of the model: its words and its chat template, never its weights.

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "engine/gguf/model_file.h"
#include "engine/tokenizer/tokenizer.h"
#include "server/api/api.h"
#include "server/chat/chat_template.h"
#include "server/config/serve_options.h"

namespace hearth {

struct ServedModel {
  std::unique_ptr<ModelFile> file;
  std::unique_ptr<Tokenizer> tokenizer;  // views the file
  std::optional<ChatTemplate> chat_template;
  std::string chat_template_error;  // why there is none
  OrderedJson template_tokens = OrderedJson::object();
  ModelInfo info;  // context_tokens is known once a worker has planned its memory
};

/// The name clients ask for: --model-name, else the file's name without ".gguf".
std::string served_name(const ServeOptions& options, const ModelFile& file);

/// The text of the chat template: that of --chat-template (a built-in's name, else a file), else
/// the model's own; empty if there is none. kInvalidArgument if the option names neither.
Result<std::string> find_chat_template(const std::string& option, const Metadata& metadata);

/// The special tokens that templates name: bos_token and eos_token, as far as there are such.
OrderedJson template_tokens_of(const Tokenizer& tokenizer);

/// Builds everything from an opened file. A chat template that does not parse is logged and told
/// to those who use it; anything else that is wrong is an error.
Result<ServedModel> make_served_model(std::unique_ptr<ModelFile> file, const ServeOptions& options);

}  // namespace hearth
