#pragma once
// What `hearth bench` found, as text and as JSON.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/evaluate/machine_limits.h"
#include "engine/evaluate/op_profile.h"

namespace hearth {

struct BenchOptions {
  int32_t prompt_tokens = 512;   // 0: not measured
  int32_t decode_tokens = 128;   // 0: not measured
  std::vector<int32_t> batches;  // sequences decoded at once
  int32_t batch_prompt = 16;     // tokens of each sequence before its decoding is timed
  int32_t depth = 0;             // tokens in the context before prompt and decode are timed
  bool json = false;
  bool explain = false;  // time each op, and measure the machine's limits
};

struct BatchedSpeed {
  int32_t sequences = 0;
  double tokens_per_second = 0.0;  // of all sequences together
};

/// Where the time of one measurement went.
struct BenchPhase {
  std::string name;  // "prompt", "decode", "decode of 8 sequences"
  int32_t steps = 0;
  double seconds = 0.0;
  MachineLimits limits;  // measured right before and after: the better
  std::vector<OpShare> ops;
};

struct BenchResult {
  std::optional<double> prompt_tps;
  std::optional<double> decode_tps;
  std::vector<BatchedSpeed> batched;
  std::vector<BenchPhase> explained;
};

/// The figures as one JSON object; `model` is the file's name.
std::string bench_json(const BenchResult& result, const std::string& model,
                       const BenchOptions& bench);

/// The figures as lines of text, with a table for each explained phase.
std::string bench_text(const BenchResult& result, const BenchOptions& bench);

}  // namespace hearth
