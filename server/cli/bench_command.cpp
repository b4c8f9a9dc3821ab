// hearth bench: prompt and decode speed of one model on this machine.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "engine/evaluate/evaluator.h"
#include "server/cli/builtin_model.h"
#include "server/cli/commands.h"
#include "server/cli/engine_flags.h"

namespace hearth {
namespace {

struct BenchOptions {
  int32_t prompt_tokens = 512;   // 0: not measured
  int32_t decode_tokens = 128;   // 0: not measured
  std::vector<int32_t> batches;  // sequences decoded at once
  int32_t batch_prompt = 16;     // tokens of each sequence before its decoding is timed
  int32_t depth = 0;             // tokens in the context before prompt and decode are timed
  bool json = false;
};

struct BatchedSpeed {
  int32_t sequences = 0;
  double tokens_per_second = 0.0;  // of all sequences together
};

struct BenchResult {
  std::optional<double> prompt_tps;
  std::optional<double> decode_tps;
  std::vector<BatchedSpeed> batched;
};

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
    BenchResult result;
    if (options_.depth > 0) prefill(0, 0, options_.depth);
    if (options_.prompt_tokens > 0) result.prompt_tps = time_prompt();
    if (options_.decode_tokens > 0) result.decode_tps = time_decode(1, options_.depth);
    for (const int32_t sequences : options_.batches)
      result.batched.push_back({sequences, time_batch(sequences)});
    return result;
  }

 private:
  /// Adds `count` tokens to sequence `index` behind `position`, in steps as a server takes them.
  void prefill(int32_t index, int32_t position, int32_t count) {
    const std::vector<int32_t> tokens = some_tokens(count, evaluator_.config().vocab_size);
    const auto rows = static_cast<size_t>(evaluator_.step_rows());
    for (size_t begin = 0; begin < tokens.size(); begin += rows) {
      const size_t size = std::min(rows, tokens.size() - begin);
      evaluator_.append(index, position + static_cast<int32_t>(begin),
                        std::span(tokens).subspan(begin, size), begin + size == tokens.size());
    }
  }

  double time_prompt() {
    const auto start = std::chrono::steady_clock::now();
    prefill(0, options_.depth, options_.prompt_tokens);
    return options_.prompt_tokens / seconds_since(start);
  }

  double time_decode(int32_t sequences, int32_t position) {
    const std::vector<int32_t> tokens = some_tokens(sequences, evaluator_.config().vocab_size);
    const auto start = std::chrono::steady_clock::now();
    for (int32_t i = 0; i < options_.decode_tokens; ++i) evaluator_.decode(position + i, tokens);
    return static_cast<double>(sequences) * options_.decode_tokens / seconds_since(start);
  }

  double time_batch(int32_t sequences) {
    const int32_t position = options_.depth > 0 ? options_.depth : options_.batch_prompt;
    for (int32_t i = 0; i < sequences; ++i) prefill(i, 0, position);
    return time_decode(sequences, position);
  }

  Evaluator& evaluator_;
  const BenchOptions& options_;
};

void print_json(const BenchResult& result, const EngineOptions& engine, const BenchOptions& bench) {
  nlohmann::ordered_json out;
  out["model"] = engine.model.filename().string();
  out["prompt_tokens"] = bench.prompt_tokens;
  out["decode_tokens"] = bench.decode_tokens;
  out["depth"] = bench.depth;
  if (result.prompt_tps) out["prompt_tps"] = *result.prompt_tps;
  if (result.decode_tps) out["decode_tps"] = *result.decode_tps;
  out["batched"] = nlohmann::ordered_json::array();
  for (const BatchedSpeed& b : result.batched)
    out["batched"].push_back({{"n", b.sequences}, {"tps", b.tokens_per_second}});
  std::puts(out.dump(2).c_str());
}

void print_text(const BenchResult& result, const BenchOptions& bench) {
  if (result.prompt_tps)
    std::printf("prompt of %d tokens at depth %d: %.1f tokens/s\n", bench.prompt_tokens,
                bench.depth, *result.prompt_tps);
  if (result.decode_tps)
    std::printf("decode of %d tokens at depth %d: %.2f tokens/s\n", bench.decode_tokens,
                bench.depth, *result.decode_tps);
  for (const BatchedSpeed& b : result.batched)
    std::printf("decode of %d sequences: %.1f tokens/s in all\n", b.sequences, b.tokens_per_second);
}

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
  app.add_flag("--json", bench.json, "figures as JSON");
  add_engine_flags(app, engine);
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
  auto evaluator = Evaluator::load(engine);
  if (!evaluator.has_value()) return report_failure(evaluator.error());
  const BenchResult result = Bench(**evaluator, bench).run();
  bench.json ? print_json(result, engine, bench) : print_text(result, bench);
  return 0;
}

}  // namespace hearth
