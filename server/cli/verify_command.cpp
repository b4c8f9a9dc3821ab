// hearth verify: logits against a reference.
//
// Each model's prompt and greedy continuation run in one step, in chunks, and token by token: the
// three must agree bit for bit, and stay within the tolerance of the model's weight types.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/evaluate/evaluator.h"
#include "engine/evaluate/logit_distance.h"
#include "server/cli/commands.h"
#include "server/cli/engine_flags.h"
#include "server/cli/expectation.h"

namespace hearth {
namespace {

/// What a model's distance may be. Logits of the reference files have a standard deviation of 3.
struct Tolerance {
  double max_abs;
  double mean_kl;
  double nll;  // |difference of the mean negative log-likelihood|, nats per token
};

struct Verdict {
  std::string model;
  LogitDistance distance;
  double nll_difference = 0.0;  // ours minus the reference's, nats per token
  int32_t greedy_equal = 0;     // leading greedy tokens that agree
  int32_t greedy_compared = 0;  // those whose margin is not tiny
  bool chunks_equal = false;    // one step, chunks of 7, single tokens: the same bits
  Tolerance tolerance{};
  std::optional<PeerDistance> peer;
  bool passed = false;
};

bool is_plain_float(const std::string& type) {
  return type == "F32" || type == "F16" || type == "BF16";
}

/// Float weights are multiplied by f32 activations, so only the KV cache's type rounds. For
/// quantized weights activations are rounded to 8 bits: no farther away than the recorded peer,
/// which does the same; without one, the usual bound of 8-bit activations.
Tolerance tolerance_of(const Expectation& expected, DType kv_type,
                       const std::optional<PeerDistance>& peer) {
  if (!std::ranges::all_of(expected.tensor_types, is_plain_float))
    return {.max_abs = 0.8, .mean_kl = peer ? peer->mean_kl : 5e-3, .nll = 0.02};
  if (kv_type == DType::kF32) return {.max_abs = 1e-3, .mean_kl = 1e-8, .nll = 1e-4};
  return {.max_abs = 0.06, .mean_kl = 5e-5, .nll = 1e-3};
}

/// Leading greedy tokens that our logits choose too, given the reference's prefix; stops at the
/// first step whose margin is within twice the tolerance, where either token is right.
void compare_greedy(const Expectation& expected, std::span<const float> logits, Verdict& verdict) {
  const auto vocab = static_cast<size_t>(expected.vocab_size);
  for (size_t i = 0; i < expected.greedy.size(); ++i) {
    if (expected.greedy_margins[i] < 2.0 * verdict.distance.max_abs) break;
    ++verdict.greedy_compared;
    const size_t row = expected.prompt.size() - 1 + i;
    if (argmax(logits.subspan(row * vocab, vocab)) != expected.greedy[i]) break;
    ++verdict.greedy_equal;
  }
}

Result<Verdict> verify_model(const EngineOptions& base, const std::string& model,
                             const std::string& expect) {
  HEARTH_ASSIGN_OR_RETURN(const Expectation expected, read_expectation(expect));
  std::vector<int32_t> tokens = expected.prompt;
  tokens.insert(tokens.end(), expected.greedy.begin(), expected.greedy.end());
  EngineOptions options = base;
  options.model = model;
  options.context_tokens =
      static_cast<int32_t>(std::max(tokens.size(), expected.nll_tokens.size()));
  HEARTH_ASSIGN_OR_RETURN(auto evaluator, Evaluator::load(options));
  if (evaluator->config().vocab_size != expected.vocab_size) {
    return fail(ErrorCode::kMalformed,
                model + ": has " + std::to_string(evaluator->config().vocab_size) +
                    " logits, the reference " + std::to_string(expected.vocab_size),
                "n_vocab");
  }

  Verdict verdict;
  verdict.model = std::filesystem::path(model).filename().string();
  HEARTH_ASSIGN_OR_RETURN(const auto whole, evaluator->logits(tokens, INT32_MAX));
  HEARTH_ASSIGN_OR_RETURN(const auto chunked, evaluator->logits(tokens, 7));
  HEARTH_ASSIGN_OR_RETURN(const auto single, evaluator->logits(tokens, 1));
  const size_t bytes = whole.size() * sizeof(float);
  verdict.chunks_equal = std::memcmp(whole.data(), chunked.data(), bytes) == 0 &&
                         std::memcmp(whole.data(), single.data(), bytes) == 0;

  const size_t begin =
      static_cast<size_t>(expected.first_row) * static_cast<size_t>(expected.vocab_size);
  verdict.distance =
      compare_logits(expected.logits, std::span(whole).subspan(begin, expected.logits.size()),
                     expected.vocab_size);
  compare_greedy(expected, whole, verdict);

  HEARTH_ASSIGN_OR_RETURN(const auto scored, evaluator->logits(expected.nll_tokens, INT32_MAX));
  double nll = 0.0;
  const auto vocab = static_cast<size_t>(expected.vocab_size);
  for (size_t i = 1; i < expected.nll_tokens.size(); ++i)
    nll += negative_log_likelihood(std::span(scored).subspan((i - 1) * vocab, vocab),
                                   expected.nll_tokens[i]);
  if (expected.nll_tokens.size() > 1)
    verdict.nll_difference =
        nll / static_cast<double>(expected.nll_tokens.size() - 1) - expected.nll_mean;

  verdict.peer = base.kv_type == DType::kF32 ? expected.peer_f32 : expected.peer_f16;
  verdict.tolerance = tolerance_of(expected, base.kv_type, verdict.peer);
  verdict.passed = verdict.chunks_equal && verdict.greedy_equal == verdict.greedy_compared &&
                   verdict.distance.max_abs <= verdict.tolerance.max_abs &&
                   verdict.distance.mean_kl <= verdict.tolerance.mean_kl &&
                   std::abs(verdict.nll_difference) <= verdict.tolerance.nll;
  return verdict;
}

void print_table(const std::vector<Verdict>& verdicts) {
  std::printf("%-28s %9s %9s %9s %9s %6s %7s %9s %s\n", "model", "max", "rms", "mean KL", "allowed",
              "top-1", "greedy", "NLL-ref", "verdict");
  for (const Verdict& v : verdicts) {
    std::printf("%-28s %9.2e %9.2e %9.2e %9.2e %5.1f%% %3d/%-3d %+9.1e %s%s\n", v.model.c_str(),
                v.distance.max_abs, v.distance.rms, v.distance.mean_kl, v.tolerance.mean_kl,
                100.0 * v.distance.top1_agree, v.greedy_equal, v.greedy_compared, v.nll_difference,
                v.passed ? "ok" : "FAILED", v.chunks_equal ? "" : " (chunks differ)");
  }
  const auto passed = std::ranges::count_if(verdicts, &Verdict::passed);
  std::printf("%td of %zu models within their tolerance\n", passed, verdicts.size());
}

void print_json(const std::vector<Verdict>& verdicts) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (const Verdict& v : verdicts) {
    out.push_back({{"model", v.model},
                   {"max_abs", v.distance.max_abs},
                   {"rms", v.distance.rms},
                   {"mean_kl", v.distance.mean_kl},
                   {"max_kl", v.distance.max_kl},
                   {"top1_agree", v.distance.top1_agree},
                   {"greedy_equal", v.greedy_equal},
                   {"greedy_compared", v.greedy_compared},
                   {"nll_difference", v.nll_difference},
                   {"allowed_max_abs", v.tolerance.max_abs},
                   {"allowed_mean_kl", v.tolerance.mean_kl},
                   {"allowed_nll_difference", v.tolerance.nll},
                   {"peer_rms", v.peer ? nlohmann::ordered_json(v.peer->rms) : nullptr},
                   {"peer_mean_kl", v.peer ? nlohmann::ordered_json(v.peer->mean_kl) : nullptr},
                   {"chunks_equal", v.chunks_equal},
                   {"passed", v.passed}});
  }
  std::puts(out.dump(2).c_str());
}

}  // namespace

int verify_command(int argc, char** argv) {
  CLI::App app{"Compares logits with a reference.", "hearth verify"};
  EngineOptions options;
  options.step_tokens = kLogitRows;
  std::vector<std::string> models;
  std::vector<std::string> expectations;
  bool json = false;
  app.add_option("-m,--model", models, "model file; may be repeated")->required();
  app.add_option("--expect", expectations,
                 "reference of each model; default: the model's path with .json");
  app.add_flag("--json", json, "figures as JSON");
  add_engine_flags(app, options);
  CLI11_PARSE(app, argc, argv);
  if (!expectations.empty() && expectations.size() != models.size()) {
    std::fprintf(stderr, "hearth: --expect is given %zu times, -m %zu times\n", expectations.size(),
                 models.size());
    return 2;
  }

  std::vector<Verdict> verdicts;
  for (size_t i = 0; i < models.size(); ++i) {
    const std::string expect =
        expectations.empty() ? std::filesystem::path(models[i]).replace_extension(".json").string()
                             : expectations[i];
    auto verdict = verify_model(options, models[i], expect);
    if (!verdict.has_value()) return report_failure(verdict.error());
    verdicts.push_back(std::move(*verdict));
  }
  json ? print_json(verdicts) : print_table(verdicts);
  return std::ranges::all_of(verdicts, &Verdict::passed) ? 0 : 1;
}

}  // namespace hearth
