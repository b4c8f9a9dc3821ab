#pragma once
// Logits of a model file for a fixed run of tokens: to compare two files bit for bit.

#include <cstdint>
#include <filesystem>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/evaluate/evaluator.h"

namespace hearth::testing {

/// Logits [24, vocab_size] of tokens 1 to 24, with the kernels of `isa`.
inline std::vector<float> model_logits(const std::filesystem::path& path,
                                       const std::string& isa = "auto") {
  std::vector<int32_t> tokens(24);
  std::iota(tokens.begin(), tokens.end(), 1);
  EngineOptions options;
  options.model = path;
  options.isa = isa;
  options.context_tokens = static_cast<int32_t>(tokens.size());
  options.threads = 2;
  auto evaluator = Evaluator::load(options);
  if (!evaluator.has_value()) throw std::runtime_error(evaluator.error().message);
  auto logits = (*evaluator)->logits(tokens, INT32_MAX);
  if (!logits.has_value()) throw std::runtime_error(logits.error().message);
  return std::move(*logits);
}

}  // namespace hearth::testing
