// hearth run: one completion on the terminal, without a server.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <random>
#include <string>

#include "engine/engine.h"
#include "engine/tokenizer/tokenizer.h"
#include "server/cli/builtin_model.h"
#include "server/cli/commands.h"
#include "server/cli/engine_flags.h"

namespace hearth {
namespace {

struct RunOptions {
  std::string prompt;
  int32_t max_tokens = 128;
  bool special = false;  // special tokens in the prompt are recognised, and printed
};

/// Generates until the answer ends; prints each piece as it comes.
Status complete(Engine& engine, const Tokenizer& tokenizer, const RunOptions& run,
                const SamplingParams& sampling) {
  GenerateRequest request;
  request.id = 1;
  request.prompt = tokenizer.encode(run.prompt, {.parse_special = run.special});
  if (request.prompt.empty() && tokenizer.bos()) request.prompt.push_back(*tokenizer.bos());
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
  app.add_option("-p,--prompt", run.prompt, "text to continue")->required();
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
  CLI11_PARSE(app, argc, argv);

  options.model = model.empty() ? builtin_model_path() : std::filesystem::path(model);
  auto engine = Engine::load(options);
  if (!engine.has_value()) return report_failure(engine.error());
  auto file = ModelFile::open(options.model);
  if (!file.has_value()) return report_failure(file.error());
  auto tokenizer = Tokenizer::create((*file)->metadata());
  if (!tokenizer.has_value()) return report_failure(tokenizer.error());
  const Status status = complete(**engine, **tokenizer, run, sampling);
  return status.has_value() ? 0 : report_failure(status.error());
}

}  // namespace hearth
