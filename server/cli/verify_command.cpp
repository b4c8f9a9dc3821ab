// hearth verify: logits against a reference.
//
// Each model's prompt and greedy continuation run in one step, in chunks, and token by token: the
// three must agree bit for bit (but with --fast-math-order), and stay within the tolerance of the
// model's weight types.
//
// With --text, perplexity instead: no reference is needed.
//
// Rounding may give a token other experts where the router's choice is close. A reference says how
// close it is: rows before the first doubtful one are judged as of any model; of all rows, half
// must be within the tolerance.
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
#include "server/cli/perplexity.h"

namespace hearth {
namespace {

/// What a model's distance may be. Logits of the reference files have a standard deviation of 3.
struct Tolerance {
  double max_abs;
  double mean_kl;
  double nll;         // |difference of the mean negative log-likelihood|, nats per token
  double router_gap;  // a router's choice that is closer than this is doubtful
};

struct Verdict {
  std::string model;
  LogitDistance distance;          // of all rows
  LogitDistance certain;           // of the rows before the first doubtful choice of experts
  double median_kl = 0.0;          // of all rows
  double nll_difference = 0.0;     // ours minus the reference's, nats per token
  int32_t greedy_equal = 0;        // leading greedy tokens that agree
  int32_t greedy_compared = 0;     // those whose margin is not tiny
  bool chunks_equal = false;       // one step, chunks of 7, single tokens: the same bits
  bool chunks_may_differ = false;  // with --fast-math-order
  Tolerance tolerance{};
  std::optional<PeerDistance> peer;
  bool passed = false;
};

bool is_half(const std::string& type) { return type == "F16" || type == "BF16"; }
bool is_plain_float(const std::string& type) { return type == "F32" || is_half(type); }

/// Float weights are multiplied by f32 activations, so only the KV cache's type rounds, and kernels
/// that round F16 and BF16 weights or their inputs (`rounding`). For quantized weights activations
/// are rounded, to 8 bits or less coarsely: no farther away than the recorded peer, which takes 8;
/// without one, the usual bound of 8-bit activations. That bounds a peer too whose experts were
/// other ones: such rows are not what is judged.
Tolerance tolerance_of(const Expectation& expected, DType kv_type, kernels::HalfRounding rounding,
                       const std::optional<PeerDistance>& peer) {
  using kernels::HalfRounding;
  constexpr double kUsualKl = 5e-3;
  const auto& types = expected.tensor_types;
  if (!std::ranges::all_of(types, is_plain_float)) {
    double mean_kl = peer ? peer->mean_kl : kUsualKl;
    if (!expected.router_gaps.empty()) mean_kl = std::min(mean_kl, kUsualKl);
    return {.max_abs = 0.8, .mean_kl = mean_kl, .nll = 0.02, .router_gap = 0.15};
  }
  const bool has_bf16 = std::ranges::find(types, "BF16") != types.end();
  if (rounding == HalfRounding::kAsTheWeight && has_bf16)
    return {.max_abs = 0.4, .mean_kl = 1e-3, .nll = 5e-3, .router_gap = 0.15};
  const bool rounded = rounding != HalfRounding::kNone && std::ranges::any_of(types, is_half);
  if (kv_type == DType::kF32 && !rounded)
    return {.max_abs = 1e-3, .mean_kl = 1e-8, .nll = 1e-4, .router_gap = 0.01};
  return {.max_abs = 0.06, .mean_kl = 5e-5, .nll = 1e-3, .router_gap = 0.01};
}

/// Rows before the first one of prompt + greedy whose choice of experts is doubtful.
size_t certain_rows(const Expectation& expected, const Tolerance& tolerance) {
  const auto& gaps = expected.router_gaps;
  const auto doubtful =
      std::ranges::find_if(gaps, [&](double gap) { return gap < tolerance.router_gap; });
  return gaps.empty() ? SIZE_MAX : static_cast<size_t>(doubtful - gaps.begin());
}

/// Leading greedy tokens that our logits choose too, given the reference's prefix; stops at the
/// first step whose margin is within twice the tolerance, where either token is right, or whose
/// experts are doubtful.
void compare_greedy(const Expectation& expected, std::span<const float> logits, Verdict& verdict) {
  const auto vocab = static_cast<size_t>(expected.vocab_size);
  for (size_t i = 0; i < expected.greedy.size(); ++i) {
    const size_t row = expected.prompt.size() - 1 + i;
    if (expected.greedy_margins[i] < 2.0 * verdict.certain.max_abs) break;
    if (row >= certain_rows(expected, verdict.tolerance)) break;
    ++verdict.greedy_compared;
    if (argmax(logits.subspan(row * vocab, vocab)) != expected.greedy[i]) break;
    ++verdict.greedy_equal;
  }
}

/// `logits` of prompt + greedy against the reference's rows.
void compare_rows(const Expectation& expected, std::span<const float> reference,
                  std::span<const float> logits, Verdict& verdict) {
  const auto vocab = static_cast<size_t>(expected.vocab_size);
  const auto first = static_cast<size_t>(expected.first_row);
  const size_t rows = reference.size() / vocab;
  const auto ours = logits.subspan(first * vocab, reference.size());
  const size_t certain = certain_rows(expected, verdict.tolerance);
  const size_t judged = certain < first ? 0 : std::min(rows, certain - first);
  verdict.distance = compare_logits(reference, ours, expected.vocab_size);
  if (judged > 0)
    verdict.certain = compare_logits(reference.first(judged * vocab), ours.first(judged * vocab),
                                     expected.vocab_size);
  std::vector<double> divergences;
  for (size_t r = 0; r < rows; ++r)
    divergences.push_back(compare_logits(reference.subspan(r * vocab, vocab),
                                         ours.subspan(r * vocab, vocab), expected.vocab_size)
                              .mean_kl);
  const auto middle = divergences.begin() + static_cast<ptrdiff_t>(divergences.size() / 2);
  std::ranges::nth_element(divergences, middle);
  verdict.median_kl = *middle;
}

/// Mean negative log-likelihood of tokens 1 … under the logits of the rows before them.
double mean_nll(std::span<const int32_t> tokens, std::span<const float> logits, size_t vocab) {
  double nll = 0.0;
  for (size_t i = 1; i < tokens.size(); ++i)
    nll += negative_log_likelihood(logits.subspan((i - 1) * vocab, vocab), tokens[i]);
  return nll / static_cast<double>(tokens.size() - 1);
}

/// The mean KL divergence that is judged. The peer's figure is a mean over all rows; so is ours
/// where that is nearer: after a doubtful choice of experts all rows may still be right, and those
/// before it may be few.
double judged_kl(const Verdict& v) { return std::min(v.certain.mean_kl, v.distance.mean_kl); }

/// 44 rows' mean divergence is known to a seventh; with logits that differ less than the peer's in
/// the root mean square, of thousands of values, so much more is no farther away.
void allow_for_sampling(Verdict& v) {
  constexpr double kSamplingError = 1.15;
  if (v.peer && v.distance.rms <= v.peer->rms) v.tolerance.mean_kl *= kSamplingError;
}

bool passes(const Verdict& v) {
  return (v.chunks_equal || v.chunks_may_differ) && v.greedy_equal == v.greedy_compared &&
         v.certain.max_abs <= v.tolerance.max_abs && judged_kl(v) <= v.tolerance.mean_kl &&
         v.median_kl <= v.tolerance.mean_kl && std::abs(v.nll_difference) <= v.tolerance.nll;
}

/// A model and its reference: the usual one, or that of a context beyond the original one.
struct Case {
  std::string model;
  const Expectation& expected;
  std::span<const float> logits;
  double nll_mean;
  int32_t context_tokens;  // 0: the model's own
};

Result<Verdict> verify_case(const EngineOptions& base, const Case& test) {
  const Expectation& expected = test.expected;
  std::vector<int32_t> tokens = expected.prompt;
  tokens.insert(tokens.end(), expected.greedy.begin(), expected.greedy.end());
  EngineOptions options = base;
  options.model = test.model;
  options.context_tokens = test.context_tokens;
  HEARTH_ASSIGN_OR_RETURN(auto evaluator, Evaluator::load(options));
  if (evaluator->config().vocab_size != expected.vocab_size) {
    return fail(ErrorCode::kMalformed,
                test.model + ": has " + std::to_string(evaluator->config().vocab_size) +
                    " logits, the reference " + std::to_string(expected.vocab_size),
                "n_vocab");
  }

  Verdict verdict;
  verdict.model = std::filesystem::path(test.model).filename().string();
  verdict.peer = base.kv_type == DType::kF32 ? expected.peer_f32 : expected.peer_f16;
  verdict.tolerance =
      tolerance_of(expected, base.kv_type, evaluator->half_rounding(), verdict.peer);
  HEARTH_ASSIGN_OR_RETURN(const auto whole, evaluator->logits(tokens, INT32_MAX));
  HEARTH_ASSIGN_OR_RETURN(const auto chunked, evaluator->logits(tokens, 7));
  HEARTH_ASSIGN_OR_RETURN(const auto single, evaluator->logits(tokens, 1));
  const size_t bytes = whole.size() * sizeof(float);
  verdict.chunks_equal = std::memcmp(whole.data(), chunked.data(), bytes) == 0 &&
                         std::memcmp(whole.data(), single.data(), bytes) == 0;
  verdict.chunks_may_differ = base.fast_math_order;
  compare_rows(expected, test.logits, whole, verdict);
  allow_for_sampling(verdict);
  if (test.logits.data() == expected.logits.data()) compare_greedy(expected, whole, verdict);
  if (expected.nll_tokens.size() > 1) {
    HEARTH_ASSIGN_OR_RETURN(const auto scored, evaluator->logits(expected.nll_tokens, INT32_MAX));
    verdict.nll_difference =
        mean_nll(expected.nll_tokens, scored, static_cast<size_t>(expected.vocab_size)) -
        test.nll_mean;
  }
  verdict.passed = passes(verdict);
  return verdict;
}

Status verify_model(const EngineOptions& base, const std::string& model, const std::string& expect,
                    std::vector<Verdict>& verdicts) {
  HEARTH_ASSIGN_OR_RETURN(const Expectation expected, read_expectation(expect));
  const auto longest = static_cast<int32_t>(
      std::max(expected.prompt.size() + expected.greedy.size(), expected.nll_tokens.size()));
  HEARTH_ASSIGN_OR_RETURN(Verdict verdict, verify_case(base, {.model = model,
                                                              .expected = expected,
                                                              .logits = expected.logits,
                                                              .nll_mean = expected.nll_mean,
                                                              .context_tokens = longest}));
  verdicts.push_back(std::move(verdict));
  if (!expected.long_context) return {};
  HEARTH_ASSIGN_OR_RETURN(Verdict other,
                          verify_case(base, {.model = model,
                                             .expected = expected,
                                             .logits = expected.long_context->logits,
                                             .nll_mean = expected.long_context->nll_mean,
                                             .context_tokens = 0}));
  other.model += " (long)";
  verdicts.push_back(std::move(other));
  return {};
}

/// Distances are of the rows that are judged; with experts, all of them are in brackets behind.
void print_table(const std::vector<Verdict>& verdicts) {
  std::printf("%-29s %5s %9s %9s %9s %9s %6s %7s %9s %s\n", "model", "rows", "max", "rms",
              "mean KL", "allowed", "top-1", "greedy", "NLL-ref", "verdict");
  for (const Verdict& v : verdicts) {
    std::printf("%-29s %5lld %9.2e %9.2e %9.2e %9.2e %5.1f%% %3d/%-3d %+9.1e %s%s", v.model.c_str(),
                static_cast<long long>(v.certain.rows), v.certain.max_abs, v.certain.rms,
                judged_kl(v), v.tolerance.mean_kl, 100.0 * v.distance.top1_agree, v.greedy_equal,
                v.greedy_compared, v.nll_difference, v.passed ? "ok" : "FAILED",
                v.chunks_equal ? "" : " (chunks differ)");
    if (v.certain.rows != v.distance.rows) {
      std::printf(" (all %lld rows: max %.1e, KL %.1e, median %.1e)",
                  static_cast<long long>(v.distance.rows), v.distance.max_abs, v.distance.mean_kl,
                  v.median_kl);
    }
    std::putchar('\n');
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
                   {"median_kl", v.median_kl},
                   {"certain_rows", v.certain.rows},
                   {"certain_max_abs", v.certain.max_abs},
                   {"certain_mean_kl", v.certain.mean_kl},
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

struct VerifyArguments {
  EngineOptions options;
  std::vector<std::string> models;
  std::vector<std::string> expectations;
  PerplexityOptions text;
  bool json = false;
};

void declare(CLI::App& app, VerifyArguments& arguments) {
  app.add_option("-m,--model", arguments.models, "model file; may be repeated")->required();
  auto* expect = app.add_option("--expect", arguments.expectations,
                                "reference of each model; default: the model's path with .json");
  auto* text = app.add_option("--text", arguments.text.file,
                              "measure perplexity on this text file instead: exp of the mean "
                              "negative log-likelihood per token over consecutive windows of -c "
                              "tokens, each a fresh sequence scored from its second token (its "
                              "first is BOS where the model has one)")
                   ->excludes(expect);
  app.add_option("-c,--context", arguments.text.window_tokens, "tokens of a window of --text")
      ->check(CLI::Range(2, 1 << 20))
      ->needs(text)
      ->capture_default_str();
  app.add_option("--base", arguments.text.base,
                 "with --text: also the mean KL divergence of each model's predictions from those "
                 "of this one, as before quantization")
      ->needs(text);
  app.add_flag("--special", arguments.text.parse_special,
               "special tokens in the text are tokens, not plain text")
      ->needs(text);
  app.add_flag("--json", arguments.json, "figures as JSON");
  add_engine_flags(app, arguments.options);
}

Status verify_all(const VerifyArguments& arguments, std::vector<Verdict>& verdicts) {
  for (size_t i = 0; i < arguments.models.size(); ++i) {
    const std::string& model = arguments.models[i];
    const std::string expect =
        arguments.expectations.empty()
            ? std::filesystem::path(model).replace_extension(".json").string()
            : arguments.expectations[i];
    HEARTH_RETURN_IF_ERROR(verify_model(arguments.options, model, expect, verdicts));
  }
  return {};
}

}  // namespace

int verify_command(int argc, char** argv) {
  CLI::App app{"Compares logits with a reference, or measures perplexity.", "hearth verify"};
  VerifyArguments arguments;
  arguments.options.step_tokens = kLogitRows;
  declare(app, arguments);
  spell_out(argc, argv);
  CLI11_PARSE(app, argc, argv);
  if (!arguments.text.file.empty())
    return report_perplexity(arguments.options, arguments.models, arguments.text, arguments.json);
  if (!arguments.expectations.empty() && arguments.expectations.size() != arguments.models.size()) {
    std::fprintf(stderr, "hearth: --expect is given %zu times, -m %zu times\n",
                 arguments.expectations.size(), arguments.models.size());
    return 2;
  }
  std::vector<Verdict> verdicts;
  const Status verified = verify_all(arguments, verdicts);
  if (!verified.has_value()) return report_failure(verified.error());
  arguments.json ? print_json(verdicts) : print_table(verdicts);
  return std::ranges::all_of(verdicts, &Verdict::passed) ? 0 : 1;
}

}  // namespace hearth
