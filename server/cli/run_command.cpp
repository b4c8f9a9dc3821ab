// hearth run: one completion on the terminal, without a server.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <ctime>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/tokenizer/tokenizer.h"
#include "server/api/prompt_tokens.h"
#include "server/chat/chat_template.h"
#include "server/cli/builtin_model.h"
#include "server/cli/commands.h"
#include "server/cli/engine_flags.h"
#include "server/cli/served_model.h"

namespace hearth {
namespace {

struct RunOptions {
  std::string prompt;
  std::string chat_template;  // as --chat-template of serve
  bool raw = false;           // the prompt is text to continue, not a message to answer
  int32_t max_tokens = 128;
  bool special = false;  // special tokens in the prompt are recognised, and printed
};

/// The prompt as a user's message where the model has a chat template, else as it is.
Result<std::vector<TokenId>> make_prompt(const RunOptions& run, const Metadata& metadata,
                                         const Tokenizer& tokenizer) {
  HEARTH_ASSIGN_OR_RETURN(auto source, find_chat_template(run.chat_template, metadata));
  if (run.raw || source.empty()) {
    auto ids = tokenizer.encode(run.prompt, {.parse_special = run.special});
    if (ids.empty() && tokenizer.bos()) ids.push_back(*tokenizer.bos());
    return ids;
  }
  HEARTH_ASSIGN_OR_RETURN(const auto chat, ChatTemplate::parse(std::move(source)));
  ChatTemplateInput input;
  input.messages.push_back({{"role", "user"}, {"content", run.prompt}});
  input.tokens = template_tokens_of(tokenizer);
  input.now_unix_seconds = static_cast<int64_t>(std::time(nullptr));
  HEARTH_ASSIGN_OR_RETURN(const std::string text, chat.render(input));
  return api::encode_prompt(tokenizer, text);
}

/// Generates until the answer ends; prints each piece as it comes.
Status complete(Engine& engine, const Tokenizer& tokenizer, std::vector<TokenId> prompt,
                const RunOptions& run, const SamplingParams& sampling) {
  GenerateRequest request;
  request.id = 1;
  request.prompt = std::move(prompt);
  request.max_tokens = run.max_tokens;
  request.stop_tokens = tokenizer.end_of_generation();
  request.sampling = sampling;
  HEARTH_RETURN_IF_ERROR(engine.submit(std::move(request)));

  StreamDecoder decoder(tokenizer, run.special);
  const auto print = [](const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  };
  while (engine.has_work()) {
    engine.step();
    for (const EngineEvent& event : engine.poll()) {
      if (const auto* token = std::get_if<TokenEvent>(&event)) print(decoder.push(token->token));
      if (const auto* failed = std::get_if<FailEvent>(&event))
        return fail(failed->code, failed->message);
    }
  }
  print(decoder.flush() + "\n");
  return {};
}

}  // namespace

int run_command(int argc, char** argv) {
  CLI::App app{"Completes a prompt on the terminal.", "hearth run"};
  EngineOptions options;
  options.parallel = 1;
  RunOptions run;
  SamplingParams sampling;
  sampling.seed = std::random_device{}();
  std::string model;
  app.add_option("-m,--model", model, "model file; default: the built-in model");
  app.add_option("-p,--prompt", run.prompt,
                 "a message to answer; text to continue if the model has no chat template")
      ->required();
  app.add_flag("--raw", run.raw, "continue the prompt as it is, without a chat template");
  app.add_option("--chat-template", run.chat_template, "a built-in's name or a file")
      ->excludes("--raw");
  app.add_option("-n,--max-tokens", run.max_tokens, "most tokens to generate")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("-c,--ctx", options.context_tokens, "context in tokens; 0: the model's own")
      ->check(CLI::Range(0, 1 << 26));
  app.add_option("--temperature", sampling.temperature, "0: the likeliest token each time")
      ->check(CLI::Range(0.0, 2.0))
      ->capture_default_str();
  app.add_option("--top-k", sampling.top_k, "0: off")->check(CLI::Range(0, 1 << 20));
  app.add_option("--top-p", sampling.top_p, "1: off")->check(CLI::Range(0.0, 1.0));
  app.add_option("--min-p", sampling.min_p, "0: off")->check(CLI::Range(0.0, 1.0));
  app.add_option("--seed", sampling.seed, "same seed, same text; default: random");
  app.add_flag("--special", run.special, "recognise and print special tokens");
  add_engine_flags(app, options);
  spell_out(argc, argv);
  CLI11_PARSE(app, argc, argv);

  options.model = model.empty() ? builtin_model_path() : std::filesystem::path(model);
  auto engine = Engine::load(options);
  if (!engine.has_value()) return report_failure(engine.error());
  auto file = ModelFile::open(options.model);
  if (!file.has_value()) return report_failure(file.error());
  auto tokenizer = Tokenizer::create((*file)->metadata());
  if (!tokenizer.has_value()) return report_failure(tokenizer.error());
  auto prompt = make_prompt(run, (*file)->metadata(), **tokenizer);
  if (!prompt.has_value()) return report_failure(prompt.error());
  const Status status = complete(**engine, **tokenizer, std::move(*prompt), run, sampling);
  return status.has_value() ? 0 : report_failure(status.error());
}

}  // namespace hearth
