// hearth bench: prompt and decode speed of one model on this machine.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <vector>

#include "engine/evaluate/evaluator.h"
#include "server/cli/bench_report.h"
#include "server/cli/builtin_model.h"
#include "server/cli/commands.h"
#include "server/cli/engine_flags.h"

namespace hearth {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Token ids spread over the vocabulary: the speed does not depend on them, but equal ids would
/// keep one row of the embedding in cache.
std::vector<int32_t> some_tokens(int32_t count, int32_t vocab_size) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = static_cast<int32_t>((i * 7919 + 17) % static_cast<size_t>(vocab_size));
  return tokens;
}

class Bench {
 public:
  Bench(Evaluator& evaluator, const BenchOptions& options)
      : evaluator_(evaluator), options_(options) {}

  BenchResult run() {
    // Maps the weights' pages into this process and wakes the threads: what a server does once.
    prefill(0, 0, 1);
    if (options_.depth > 0) prefill(0, 0, options_.depth);
    if (options_.prompt_tokens > 0) result_.prompt_tps = time_prompt();
    if (options_.decode_tokens > 0) result_.decode_tps = time_decode("decode", 1, options_.depth);
    for (const int32_t sequences : options_.batches)
      result_.batched.push_back({sequences, time_batch(sequences)});
    return std::move(result_);
  }

 private:
  /// Adds `count` tokens to sequence `index` behind `position`, in steps as a server takes them;
  /// returns how many.
  int32_t prefill(int32_t index, int32_t position, int32_t count) {
    const std::vector<int32_t> tokens = some_tokens(count, evaluator_.config().vocab_size);
    const auto rows = static_cast<size_t>(evaluator_.step_rows());
    int32_t steps = 0;
    for (size_t begin = 0; begin < tokens.size(); begin += rows, ++steps) {
      const size_t size = std::min(rows, tokens.size() - begin);
      evaluator_.append(index, position + static_cast<int32_t>(begin),
                        std::span(tokens).subspan(begin, size), begin + size == tokens.size());
    }
    return steps;
  }

  /// The seconds of f(), which returns its steps; and, if asked for, where they went.
  template <typename F>
  double timed(const std::string& name, const F& f) {
    MachineLimits limits;
    if (options_.explain) {
      limits = evaluator_.machine_limits();
      evaluator_.profile()->take();
    }
    const auto start = std::chrono::steady_clock::now();
    const int32_t steps = f();
    const double seconds = seconds_since(start);
    if (options_.explain) {
      const std::vector<OpTotal> ops = evaluator_.profile()->take();
      limits = best_of(limits, evaluator_.machine_limits());
      result_.explained.push_back({.name = name,
                                   .steps = steps,
                                   .seconds = seconds,
                                   .limits = limits,
                                   .ops = op_shares(ops, seconds, limits)});
    }
    return seconds;
  }

  double time_prompt() {
    return options_.prompt_tokens /
           timed("prompt", [&] { return prefill(0, options_.depth, options_.prompt_tokens); });
  }

  double time_decode(const std::string& name, int32_t sequences, int32_t position) {
    const std::vector<int32_t> tokens = some_tokens(sequences, evaluator_.config().vocab_size);
    const double seconds = timed(name, [&] {
      for (int32_t i = 0; i < options_.decode_tokens; ++i) evaluator_.decode(position + i, tokens);
      return options_.decode_tokens;
    });
    return static_cast<double>(sequences) * options_.decode_tokens / seconds;
  }

  double time_batch(int32_t sequences) {
    const int32_t position = options_.depth > 0 ? options_.depth : options_.batch_prompt;
    for (int32_t i = 0; i < sequences; ++i) prefill(i, 0, position);
    return time_decode("decode of " + std::to_string(sequences) + " sequences", sequences,
                       position);
  }

  Evaluator& evaluator_;
  const BenchOptions& options_;
  BenchResult result_;
};

}  // namespace

int bench_command(int argc, char** argv) {
  CLI::App app{"Measures prompt and decode speed.", "hearth bench"};
  EngineOptions engine;
  BenchOptions bench;
  std::string model;
  app.add_option("-m,--model", model, "model file; default: the built-in model");
  app.add_option("-p,--prompt", bench.prompt_tokens, "tokens of the prompt; 0: not measured")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_option("-n,--decode", bench.decode_tokens, "tokens to decode; 0: not measured")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_option("-b,--batches", bench.batches, "numbers of sequences to decode at once: 1,8,32")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096));
  app.add_option("-d,--depth", bench.depth, "tokens in the context beforehand")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_flag("--explain", bench.explain,
               "time, bytes and operations of each op, against the limits measured beside them");
  app.add_flag("--json", bench.json, "figures as JSON");
  app.add_flag_callback(
      "--no-gpu-graphs", [&engine] { engine.gpu_graphs = false; },
      "launch each op of a decode step on the GPU instead of replaying the step");
  app.add_flag_callback(
      "--no-gpu-sampling", [&engine] { engine.gpu_sampling = false; },
      "bring the logits back from the GPU instead of drawing tokens there");
  add_engine_flags(app, engine);
  spell_out(argc, argv);
  CLI11_PARSE(app, argc, argv);

  engine.model = model.empty() ? builtin_model_path() : std::filesystem::path(model);
  engine.context_tokens = std::max(bench.depth, bench.batch_prompt) +
                          std::max({bench.prompt_tokens, bench.decode_tokens, 1});
  for (const int32_t sequences : bench.batches) {
    engine.parallel = std::max(engine.parallel, sequences);
    if (bench.decode_tokens == 0) {
      std::fprintf(stderr, "hearth: --batches needs --decode above 0\n");
      return 2;
    }
  }
  auto evaluator = Evaluator::load(engine, bench.explain);
  if (!evaluator.has_value()) return report_failure(evaluator.error());
  const BenchResult result = Bench(**evaluator, bench).run();
  const std::string report = bench.json
                                 ? bench_json(result, engine.model.filename().string(), bench)
                                 : bench_text(result, bench);
  std::fputs(report.c_str(), stdout);
  return 0;
}

}  // namespace hearth
