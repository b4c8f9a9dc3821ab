#pragma once
// Perplexity of models on a text: `hearth verify --text`.

#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"

namespace hearth {

struct PerplexityOptions {
  std::string file;  // UTF-8 text
  int32_t window_tokens = 512;
  bool parse_special = false;  // special tokens in the text are recognised
};

struct Perplexity {
  int64_t text_tokens = 0;
  int64_t scored_tokens = 0;
  double mean_nll = 0.0;  // nats per scored token
};

/// Cuts the text's tokens into consecutive windows, each a fresh sequence (after BOS, where the
/// vocabulary adds one) whose tokens from the second on are scored; the last window may be shorter.
/// Errors: the file, the model, a text of fewer than two tokens, a window beyond the context.
Result<Perplexity> measure_perplexity(const EngineOptions& options, const std::string& model,
                                      const PerplexityOptions& text);

/// Measures and prints each model's figures, as a table or as JSON. Returns the exit status.
int report_perplexity(const EngineOptions& options, const std::vector<std::string>& models,
                      const PerplexityOptions& text, bool json);

}  // namespace hearth
