#include "server/cli/bench_report.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace hearth {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kGiga = 1e9;

/// A sum of the ops' figures, for the last line of the table.
OpShare sum_of(const std::vector<OpShare>& ops) {
  OpShare all;
  all.total.name = "all";
  for (const OpShare& op : ops) {
    all.total.calls += op.total.calls;
    all.total.seconds += op.total.seconds;
    all.total.cost.bytes += op.total.cost.bytes;
    all.total.cost.operations += op.total.cost.operations;
    all.share += op.share;
    all.limit_seconds += op.limit_seconds;
  }
  return all;
}

/// How near the op is to what the machine can do: 1 at the limit.
double limit_share(const OpShare& op) {
  return op.total.seconds > 0.0 ? op.limit_seconds / op.total.seconds : 0.0;
}

const char* arithmetic_name(kernels::Arithmetic arithmetic) {
  switch (arithmetic) {
    case kernels::Arithmetic::kNone:
      return "none";
    case kernels::Arithmetic::kF32:
      return "f32";
    case kernels::Arithmetic::kInt16:
      return "int16";
    case kernels::Arithmetic::kInt8:
      return "int8";
  }
  return "none";
}

/// A figure per second in units of 10^9, or a dash where there is none.
std::string per_second(double amount, double seconds) {
  return amount > 0.0 && seconds > 0.0 ? fmt::format("{:.1f}", amount / seconds / kGiga) : "-";
}

std::string table_line(const OpShare& op, int32_t steps, bool is_sum) {
  const OpTotal& total = op.total;
  std::string limit = "-";
  if (op.limit_seconds > 0.0) {
    limit = fmt::format("{:.0f} %", 100.0 * limit_share(op));
    if (!is_sum)
      limit += std::string(" of ") +
               (op.bound_by_memory ? "read" : arithmetic_name(total.cost.arithmetic));
  }
  return fmt::format("  {:<34} {:>7.1f} {:>9.3f} {:>6.1f} % {:>9.2f} {:>8} {:>8} {:>14}\n",
                     total.name, static_cast<double>(total.calls) / steps,
                     total.seconds / steps * 1e3, 100.0 * op.share, total.cost.bytes / steps * 1e-6,
                     per_second(total.cost.bytes, total.seconds),
                     per_second(total.cost.operations, total.seconds), limit);
}

std::string phase_text(const BenchPhase& phase) {
  std::string text = fmt::format("\n{}: {} step{}, {:.3f} ms each\n", phase.name, phase.steps,
                                 phase.steps == 1 ? "" : "s", phase.seconds / phase.steps * 1e3);
  text += fmt::format(
      "limits now: plain read of the weights {:.1f} GB/s; int8 {:.0f}, int16 {:.0f}, f32 {:.0f} "
      "Gop/s\n",
      phase.limits.read_bytes / kGiga, phase.limits.int8 / kGiga, phase.limits.int16 / kGiga,
      phase.limits.f32 / kGiga);
  text += fmt::format("  {:<34} {:>7} {:>9} {:>8} {:>9} {:>8} {:>8} {:>14}\n", "op", "calls", "ms",
                      "share", "MB", "GB/s", "Gop/s", "of the limit");
  std::vector<OpShare> ops = phase.ops;
  std::ranges::stable_sort(
      ops, [](const OpShare& a, const OpShare& b) { return a.total.seconds > b.total.seconds; });
  for (const OpShare& op : ops) text += table_line(op, phase.steps, false);
  return text + table_line(sum_of(phase.ops), phase.steps, true);
}

Json op_json(const OpShare& op, int32_t steps) {
  const OpTotal& total = op.total;
  Json out;
  out["op"] = total.name;
  out["calls"] = static_cast<double>(total.calls) / steps;
  out["ms"] = total.seconds / steps * 1e3;
  out["share"] = op.share;
  out["bytes"] = total.cost.bytes / steps;
  out["operations"] = total.cost.operations / steps;
  out["arithmetic"] = arithmetic_name(total.cost.arithmetic);
  if (op.limit_seconds > 0.0) {
    out["limit"] = op.bound_by_memory ? "read" : arithmetic_name(total.cost.arithmetic);
    out["limit_share"] = limit_share(op);
  }
  return out;
}

Json phase_json(const BenchPhase& phase) {
  Json out;
  out["phase"] = phase.name;
  out["steps"] = phase.steps;
  out["seconds"] = phase.seconds;
  out["limits"] = {{"read_bytes_per_second", phase.limits.read_bytes},
                   {"int8_per_second", phase.limits.int8},
                   {"int16_per_second", phase.limits.int16},
                   {"f32_per_second", phase.limits.f32}};
  out["ops"] = Json::array();
  for (const OpShare& op : phase.ops) out["ops"].push_back(op_json(op, phase.steps));
  return out;
}

}  // namespace

std::string bench_json(const BenchResult& result, const std::string& model,
                       const BenchOptions& bench) {
  Json out;
  out["model"] = model;
  out["prompt_tokens"] = bench.prompt_tokens;
  out["decode_tokens"] = bench.decode_tokens;
  out["depth"] = bench.depth;
  if (result.prompt_tps) out["prompt_tps"] = *result.prompt_tps;
  if (result.decode_tps) out["decode_tps"] = *result.decode_tps;
  out["batched"] = Json::array();
  for (const BatchedSpeed& b : result.batched)
    out["batched"].push_back({{"n", b.sequences}, {"tps", b.tokens_per_second}});
  if (bench.explain) {
    out["explained"] = Json::array();
    for (const BenchPhase& phase : result.explained) out["explained"].push_back(phase_json(phase));
  }
  return out.dump(2) + "\n";
}

std::string bench_text(const BenchResult& result, const BenchOptions& bench) {
  std::string text;
  if (result.prompt_tps)
    text += fmt::format("prompt of {} tokens at depth {}: {:.1f} tokens/s\n", bench.prompt_tokens,
                        bench.depth, *result.prompt_tps);
  if (result.decode_tps)
    text += fmt::format("decode of {} tokens at depth {}: {:.2f} tokens/s\n", bench.decode_tokens,
                        bench.depth, *result.decode_tps);
  for (const BatchedSpeed& b : result.batched)
    text += fmt::format("decode of {} sequences: {:.1f} tokens/s in all\n", b.sequences,
                        b.tokens_per_second);
  for (const BenchPhase& phase : result.explained) text += phase_text(phase);
  return text;
}

}  // namespace hearth
