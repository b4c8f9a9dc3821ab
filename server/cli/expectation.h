#pragma once
// Reference results of a model, as `hearth verify --expect FILE.json` reads them.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace hearth {

/// Distance of another engine from the same reference, recorded beside it.
struct PeerDistance {
  double rms = 0.0;
  double mean_kl = 0.0;
};

/// The same tokens where the context is larger than the one a model was first trained for, and RoPE
/// takes other factors (longrope).
struct LongContext {
  std::vector<float> logits;  // of the rows of Expectation::logits
  double nll_mean = 0.0;
};

struct Expectation {
  std::vector<int32_t> prompt;         // token ids
  std::vector<int32_t> greedy;         // the reference's greedy continuation
  std::vector<double> greedy_margins;  // best minus second logit at each greedy step
  /// Reference logits [rows, vocab_size] of prompt + greedy from `first_row` on.
  int32_t first_row = 0;
  int32_t vocab_size = 0;
  std::vector<float> logits;
  std::vector<int32_t> nll_tokens;
  double nll_mean = 0.0;                  // over nll_tokens[1 …], in nats
  std::vector<std::string> tensor_types;  // upper case: "Q4_0", "F32"
  /// Of a mixture of experts: how far the last chosen expert is from the first rejected one, in
  /// router logits, at each row of prompt + greedy; the smallest over the layers. Empty: no
  /// experts.
  std::vector<double> router_gaps;
  std::optional<LongContext> long_context;
  std::optional<PeerDistance> peer_f16;  // f16 KV cache
  std::optional<PeerDistance> peer_f32;  // f32 KV cache
};

/// Reads the JSON file and the raw little-endian f32 file it names ("logits_file", beside it).
/// kMalformed names the file and the field.
Result<Expectation> read_expectation(const std::filesystem::path& path);

}  // namespace hearth
