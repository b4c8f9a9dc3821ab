#include "server/cli/expectation.h"

#include <spdlog/fmt/fmt.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace hearth {
namespace {

using Json = nlohmann::json;

Result<std::string> read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(ErrorCode::kIo, fmt::format("{}: cannot be read", path.string()));
  return std::string(std::istreambuf_iterator<char>(in), {});
}

/// One peer's figures; nothing if the file records none.
std::optional<PeerDistance> read_peer(const Json& root, const char* mode) {
  const auto at = Json::json_pointer(fmt::format("/peer/{}/prompt_and_greedy", mode));
  if (!root.contains(at)) return std::nullopt;
  return PeerDistance{.rms = root.at(at).at("rms_logit_diff").get<double>(),
                      .mean_kl = root.at(at).at("mean_kl").get<double>()};
}

/// "positions 0..43 of …" or "position 11 only": where the logits begin.
Result<int32_t> first_row(const std::string& rows) {
  int32_t first = 0;
  if (std::sscanf(rows.c_str(), "position%*[s ]%d", &first) == 1) return first;
  return fail(ErrorCode::kMalformed,
              fmt::format("logits_rows is '{}', expected 'position N …'", rows), "logits_rows");
}

Result<std::vector<float>> read_logits(const std::filesystem::path& path, int32_t vocab_size) {
  HEARTH_ASSIGN_OR_RETURN(const std::string bytes, read_file(path));
  const size_t row = static_cast<size_t>(vocab_size) * sizeof(float);
  if (row == 0 || bytes.empty() || bytes.size() % row != 0) {
    return fail(ErrorCode::kMalformed,
                fmt::format("{}: has {} bytes, expected rows of {} f32 values", path.string(),
                            bytes.size(), vocab_size),
                "logits_file");
  }
  std::vector<float> logits(bytes.size() / sizeof(float));
  std::memcpy(logits.data(), bytes.data(), bytes.size());
  return logits;
}

/// Throws nlohmann's exceptions for missing or mistyped fields; their text names the field.
Result<Expectation> parse(const Json& root, const std::filesystem::path& path) {
  Expectation out;
  root.at("prompt_tokens").get_to(out.prompt);
  root.at("greedy_tokens").get_to(out.greedy);
  root.at("greedy_margins").get_to(out.greedy_margins);
  root.at("n_vocab").get_to(out.vocab_size);
  root.at("nll_tokens").get_to(out.nll_tokens);
  root.at("nll_mean").get_to(out.nll_mean);
  for (const auto& [name, count] : root.at("tensor_types").items())
    out.tensor_types.push_back(name);
  HEARTH_ASSIGN_OR_RETURN(out.first_row, first_row(root.at("logits_rows").get<std::string>()));
  const auto logits_of = [&](const Json& at) {
    return read_logits(path.parent_path() / at.at("logits_file").get<std::string>(),
                       out.vocab_size);
  };
  HEARTH_ASSIGN_OR_RETURN(out.logits, logits_of(root));
  if (root.contains("router_gap_per_position"))
    root.at("router_gap_per_position").get_to(out.router_gaps);
  if (root.contains("long_factors")) {
    const Json& long_factors = root.at("long_factors");
    LongContext& other = out.long_context.emplace();
    HEARTH_ASSIGN_OR_RETURN(other.logits, logits_of(long_factors));
    long_factors.at("nll_mean").get_to(other.nll_mean);
  }
  out.peer_f16 = read_peer(root, "default_f16kv_fa");
  out.peer_f32 = read_peer(root, "f32kv_nofa");

  const size_t rows = out.logits.size() / static_cast<size_t>(out.vocab_size);
  if (out.first_row < 0 ||
      static_cast<size_t>(out.first_row) + rows > out.prompt.size() + out.greedy.size()) {
    return fail(ErrorCode::kMalformed,
                fmt::format("{}: logits_file has {} rows from {} on, more than prompt and greedy "
                            "tokens together",
                            path.string(), rows, out.first_row),
                "logits_rows");
  }
  if (out.long_context && out.long_context->logits.size() != out.logits.size()) {
    return fail(ErrorCode::kMalformed,
                fmt::format("{}: long_factors has other rows than logits_file", path.string()),
                "long_factors");
  }
  if (!out.router_gaps.empty() && out.router_gaps.size() != out.prompt.size() + out.greedy.size()) {
    return fail(ErrorCode::kMalformed,
                fmt::format("{}: router_gap_per_position has {} entries, expected one for each "
                            "prompt and greedy token",
                            path.string(), out.router_gaps.size()),
                "router_gap_per_position");
  }
  return out;
}

}  // namespace

Result<Expectation> read_expectation(const std::filesystem::path& path) {
  HEARTH_ASSIGN_OR_RETURN(const std::string text, read_file(path));
  try {
    return parse(Json::parse(text), path);
  } catch (const Json::exception& error) {
    return fail(ErrorCode::kMalformed, fmt::format("{}: {}", path.string(), error.what()));
  }
}

}  // namespace hearth
