#include "server/cli/perplexity.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>

#include "engine/evaluate/evaluator.h"
#include "engine/evaluate/logit_distance.h"
#include "engine/gguf/model_file.h"
#include "engine/tokenizer/tokenizer.h"
#include "server/cli/engine_flags.h"

namespace hearth {
namespace {

/// The text as tokens, and what each window begins with: BOS or nothing.
struct TokenizedText {
  std::vector<TokenId> prefix;
  std::vector<TokenId> tokens;
};

Result<TokenizedText> tokenize(const std::string& model, const PerplexityOptions& text) {
  std::ifstream in(text.file, std::ios::binary);
  if (!in) return fail(ErrorCode::kIo, text.file + ": cannot be read");
  const std::string bytes(std::istreambuf_iterator<char>(in), {});
  HEARTH_ASSIGN_OR_RETURN(const auto file, ModelFile::open(model));
  HEARTH_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::create(file->metadata()));
  TokenizedText out;
  const auto of_nothing = tokenizer->encode("", {.add_special = true});
  if (!of_nothing.empty() && of_nothing.front() == tokenizer->bos())
    out.prefix.push_back(of_nothing.front());
  out.tokens =
      tokenizer->encode(bytes, {.add_special = false, .parse_special = text.parse_special});
  if (out.prefix.size() + out.tokens.size() < 2)
    return fail(
        ErrorCode::kInvalidArgument,
        text.file + ": " + std::to_string(out.tokens.size()) + " tokens, expected at least two",
        "--text");
  return out;
}

/// Sums over the tokens of one window from its second on.
struct WindowScore {
  double nll = 0.0;
  double kl = 0.0;
};

Result<WindowScore> score_against(Evaluator& evaluator, Evaluator& base,
                                  std::span<const TokenId> window) {
  if (window.size() < 2) return WindowScore{};  // nothing to score
  HEARTH_ASSIGN_OR_RETURN(const auto ours, evaluator.logits(window, INT32_MAX));
  HEARTH_ASSIGN_OR_RETURN(const auto theirs, base.logits(window, INT32_MAX));
  const auto vocab = static_cast<size_t>(evaluator.config().vocab_size);
  const size_t rows = window.size() - 1;
  WindowScore score;
  for (size_t i = 0; i < rows; ++i)
    score.nll += negative_log_likelihood(std::span(ours).subspan(i * vocab, vocab), window[i + 1]);
  score.kl = static_cast<double>(rows) * compare_logits(std::span(theirs).first(rows * vocab),
                                                        std::span(ours).first(rows * vocab),
                                                        evaluator.config().vocab_size)
                                             .mean_kl;
  return score;
}

Result<WindowScore> score_window(Evaluator& evaluator, Evaluator* base,
                                 std::span<const TokenId> window) {
  if (base != nullptr) return score_against(evaluator, *base, window);
  HEARTH_ASSIGN_OR_RETURN(const double nll, evaluator.sequence_nll(window));
  return WindowScore{.nll = nll};
}

nlohmann::ordered_json to_json(const std::string& model, const Perplexity& figures,
                               int32_t window_tokens) {
  return {{"model", model},
          {"text_tokens", figures.text_tokens},
          {"scored_tokens", figures.scored_tokens},
          {"window_tokens", window_tokens},
          {"mean_nll", figures.mean_nll},
          {"perplexity", std::exp(figures.mean_nll)},
          {"mean_kl", figures.mean_kl ? nlohmann::ordered_json(*figures.mean_kl) : nullptr}};
}

}  // namespace

Result<Perplexity> measure_perplexity(const EngineOptions& options, const std::string& model,
                                      const PerplexityOptions& text) {
  HEARTH_ASSIGN_OR_RETURN(const TokenizedText tokenized, tokenize(model, text));
  EngineOptions sized = options;
  sized.model = model;
  sized.context_tokens = text.window_tokens;
  HEARTH_ASSIGN_OR_RETURN(const auto evaluator, Evaluator::load(sized));
  std::unique_ptr<Evaluator> base;
  if (!text.base.empty()) {
    sized.model = text.base;
    HEARTH_ASSIGN_OR_RETURN(base, Evaluator::load(sized));
    if (base->config().vocab_size != evaluator->config().vocab_size)
      return fail(ErrorCode::kInvalidArgument,
                  text.base + ": has " + std::to_string(base->config().vocab_size) + " logits, " +
                      model + " " + std::to_string(evaluator->config().vocab_size),
                  "--base");
  }

  Perplexity out{.text_tokens = static_cast<int64_t>(tokenized.tokens.size())};
  const size_t step = static_cast<size_t>(text.window_tokens) - tokenized.prefix.size();
  WindowScore sum;
  for (size_t begin = 0; begin < tokenized.tokens.size(); begin += step) {
    const size_t count = std::min(step, tokenized.tokens.size() - begin);
    std::vector<TokenId> window = tokenized.prefix;
    const auto first = tokenized.tokens.begin() + static_cast<ptrdiff_t>(begin);
    window.insert(window.end(), first, first + static_cast<ptrdiff_t>(count));
    HEARTH_ASSIGN_OR_RETURN(const WindowScore score, score_window(*evaluator, base.get(), window));
    sum.nll += score.nll;
    sum.kl += score.kl;
    out.scored_tokens += static_cast<int64_t>(window.size()) - 1;
  }
  out.mean_nll = sum.nll / static_cast<double>(out.scored_tokens);
  if (base) out.mean_kl = sum.kl / static_cast<double>(out.scored_tokens);
  return out;
}

int report_perplexity(const EngineOptions& options, const std::vector<std::string>& models,
                      const PerplexityOptions& text, bool json) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  if (!json)
    std::printf("%-29s %10s %10s %10s %12s%s\n", "model", "tokens", "scored", "NLL", "perplexity",
                text.base.empty() ? "" : "  KL(base||.)");
  for (const std::string& model : models) {
    const auto figures = measure_perplexity(options, model, text);
    if (!figures.has_value()) return report_failure(figures.error());
    const std::string name = std::filesystem::path(model).filename().string();
    if (json) {
      rows.push_back(to_json(name, *figures, text.window_tokens));
      continue;
    }
    std::printf("%-29s %10lld %10lld %10.5f %12.4f", name.c_str(),
                static_cast<long long>(figures->text_tokens),
                static_cast<long long>(figures->scored_tokens), figures->mean_nll,
                std::exp(figures->mean_nll));
    if (figures->mean_kl) std::printf("  %11.3e", *figures->mean_kl);
    std::putchar('\n');
    std::fflush(stdout);  // a model may take minutes
  }
  if (json) std::puts(rows.dump(2).c_str());
  return 0;
}

}  // namespace hearth
