#include "server/worker/worker_options.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <concepts>
#include <filesystem>
#include <string_view>
#include <type_traits>
#include <utility>

namespace hearth {
namespace {

/// Every option with its name, once for both directions.
template <typename Visitor, typename Options>
void visit_options(Visitor&& visit, Options& options) {
  visit("fd", options.fd);
  visit("index", options.index);
  visit("cpus", options.cpus);
  visit("log-level", options.log_level);
  visit("fault", options.fault);
  visit("model", options.engine.model);
  visit("isa", options.engine.isa);
  visit("threads", options.engine.threads);
  visit("context", options.engine.context_tokens);
  visit("parallel", options.engine.parallel);
  visit("kv-type", options.engine.kv_type);
  visit("step-tokens", options.engine.step_tokens);
  visit("prefill-chunk", options.engine.prefill_chunk);
  visit("memory-limit", options.engine.memory_limit_bytes);
  visit("gpu-layers", options.engine.gpu_layers);
  visit("device", options.engine.devices);
  visit("split", options.engine.split);
  visit("kv-offload", options.engine.kv_offload);
  visit("fast-math-order", options.engine.fast_math_order);
  visit("gpu-budget", options.engine.gpu_budget_bytes);
  visit("gpu-sharers", options.engine.gpu_sharers);
  visit("hash-logits", options.engine.hash_logits);
}

std::string format(const std::integral auto& value) { return std::to_string(value); }
std::string format(const std::string& value) { return value; }
std::string format(const std::filesystem::path& value) { return value.string(); }
std::string format(const CpuList& value) { return format_cpu_list(value); }
std::string format(const DType& value) { return std::string(dtype_info(value).name); }
std::string format(const GpuLayers& value) { return value.text(); }
std::string format(const DeviceList& value) { return value.text(); }
std::string format(const GpuSplit& value) { return value.text(); }
std::string format(const std::vector<uint64_t>& value) {
  return fmt::format("{}", fmt::join(value, ","));
}

bool parse(std::string_view text, std::integral auto& value) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}
bool parse(std::string_view text, bool& value) {
  value = text == "1";
  return text == "0" || text == "1";
}
bool parse(std::string_view text, std::string& value) {
  value = text;
  return true;
}
bool parse(std::string_view text, std::filesystem::path& value) {
  value = text;
  return !text.empty();
}
bool parse(std::string_view text, CpuList& value) {
  auto cpus = parse_cpu_list(text);
  if (cpus.has_value()) value = std::move(*cpus);
  return cpus.has_value();
}
bool parse(std::string_view text, DType& value) {
  const DTypeInfo* info = find_dtype(text);
  if (info != nullptr) value = info->dtype;
  return info != nullptr;
}
bool parse(std::string_view text, std::vector<uint64_t>& value) {
  value.clear();
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    if (!parse(text.substr(0, comma), value.emplace_back())) return false;
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return true;
}
/// Of a type that has a parse() of its own.
template <typename T>
requires requires(T value) { value = *T::parse(value.text()); }
bool parse(std::string_view text, T& value) {
  auto parsed = T::parse(text);
  if (parsed.has_value()) value = std::move(*parsed);
  return parsed.has_value();
}

}  // namespace

std::vector<std::string> format_worker_arguments(const WorkerOptions& options) {
  std::vector<std::string> arguments;
  visit_options(
      [&arguments](const char* name, const auto& value) {
        arguments.push_back(fmt::format("--{}={}", name, format(value)));
      },
      options);
  return arguments;
}

Result<WorkerOptions> parse_worker_arguments(std::span<char* const> arguments) {
  WorkerOptions options;
  for (const std::string_view argument : arguments) {
    const size_t equals = argument.find('=');
    bool accepted = false;
    if (argument.starts_with("--") && equals != std::string_view::npos) {
      const std::string_view wanted = argument.substr(2, equals - 2);
      visit_options(
          [&](const char* name, auto& value) {
            if (wanted == name) accepted = parse(argument.substr(equals + 1), value);
          },
          options);
    }
    if (!accepted) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("worker: '{}' is not an option with a valid value", argument));
    }
  }
  return options;
}

}  // namespace hearth
