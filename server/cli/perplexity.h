#pragma once
// Perplexity of models on a text: `hearth verify --text`.

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"

namespace hearth {

struct PerplexityOptions {
  std::string file;  // UTF-8 text
  int32_t window_tokens = 512;
  bool parse_special = false;  // special tokens in the text are recognised
  /// A model of the same vocabulary whose predictions the others' are compared with; "": none.
  std::string base;
};

struct Perplexity {
  int64_t text_tokens = 0;
  int64_t scored_tokens = 0;
  double mean_nll = 0.0;  // nats per scored token
  /// Mean KL(base || model) over the scored tokens, in nats: tells models apart long before their
  /// likelihoods do (which also gain where a rounding happens to help).
  std::optional<double> mean_kl = std::nullopt;
};

/// Cuts the text's tokens into consecutive windows, each a fresh sequence (after BOS, where the
/// vocabulary adds one) whose tokens from the second on are scored; the last window may be shorter.
/// With a base, the logits of a window are held for both models, f32 [window, vocab_size].
/// Errors: the file, the models, a base of another vocabulary size, a text of fewer than two
/// tokens, a window beyond the context.
Result<Perplexity> measure_perplexity(const EngineOptions& options, const std::string& model,
                                      const PerplexityOptions& text);

/// Measures and prints each model's figures, as a table or as JSON. Returns the exit status.
int report_perplexity(const EngineOptions& options, const std::vector<std::string>& models,
                      const PerplexityOptions& text, bool json);

}  // namespace hearth
