#pragma once
// Chat templates: the Jinja subset that models' templates use, with limits, because templates come
// from model files and are not trusted.

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hearth {

/// JSON whose objects keep the order of their keys, as templates print them.
using OrderedJson = nlohmann::ordered_json;

struct TemplateLimits {
  uint64_t max_steps = 5'000'000;       // evaluated nodes
  uint32_t max_depth = 128;             // nesting of expressions, blocks and macro calls
  size_t max_output_bytes = 64U << 20;  // also the longest intermediate string
};

struct ChatTemplateInput {
  OrderedJson messages = OrderedJson::array();
  OrderedJson tools;  // null: None
  bool add_generation_prompt = true;
  OrderedJson kwargs = OrderedJson::object();  // chat_template_kwargs of the request
  OrderedJson tokens = OrderedJson::object();  // {"bos_token": "<s>", "eos_token": …}
  int64_t now_unix_seconds = 0;                // for strftime_now
};

/// A parsed template. Immutable; any thread may render.
class ChatTemplate {
 public:
  /// kMalformed with line and reason if the text does not parse.
  static Result<ChatTemplate> parse(std::string source, TemplateLimits limits = {});
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  /// The prompt. kInvalidArgument with the template's own words if it calls raise_exception;
  /// kMalformed for run-time errors; kTooLarge when a limit is passed; kResourceExhausted without
  /// memory. Needs at most half a MiB of stack.
  [[nodiscard]] Result<std::string> render(const ChatTemplateInput& input) const;

  /// Renders with exactly `context` as the global variables (tests of the template engine).
  [[nodiscard]] Result<std::string> render_context(const OrderedJson& context,
                                                   int64_t now_unix_seconds = 0) const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// The source of a built-in template by name (chatml, llama-2, llama-3, alpaca, vicuna, …), from
/// config/chat_templates. kNotFound lists the names.
Result<std::string> builtin_chat_template(std::string_view name);
std::vector<std::string> builtin_chat_template_names();

}  // namespace hearth
