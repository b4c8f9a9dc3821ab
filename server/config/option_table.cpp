#include "server/config/option_table.h"

#include <algorithm>
#include <charconv>

namespace hearth {
namespace {

using O = ServeOptions;

// A path or a name of this length is a mistake.
constexpr int64_t kMaxText = 4096;
constexpr int64_t kMaxTokens = 1 << 24;
constexpr int64_t kMaxMib = 1 << 24;  // 16 TiB
constexpr int64_t kMaxSeconds = 86'400;

// clang-format off
constexpr OptionRow kTable[] = {
    {"--config", "", "", "HEARTH_CONFIG", "", "", &O::config, "FILE", "", 0, kMaxText, false,
     "Reads options from this TOML file. Flags and variables win over it."},

    {"--model", "-m", "", "HEARTH_MODEL", "model", "path", &O::model, "FILE", "", 0, kMaxText, false,
     "The model to serve: a GGUF file, a ggml file of 2023 or a safetensors folder. Without one the built-in model is served."},
    {"--model-name", "", "--alias", "HEARTH_MODEL_NAME", "model", "name", &O::model_name, "ID", "", 0, 256, false,
     "The model's id in /v1/models and in answers. Without one it comes from the file."},
    {"--chat-template", "", "", "HEARTH_CHAT_TEMPLATE", "model", "chat_template", &O::chat_template, "NAME|FILE", "", 0, kMaxText, false,
     "A built-in chat template by name, or a file. Without one the model's own is used."},

    {"--host", "", "", "HEARTH_HOST", "server", "host", &O::host, "ADDRESS", "127.0.0.1", 1, 253, false,
     "The address to listen on. One that other machines can reach needs an API key or --insecure."},
    {"--port", "", "", "HEARTH_PORT", "server", "port", &O::port, "N", "8080", 0, 65'535, false,
     "The TCP port. 0 takes any free one and prints it."},
    {"--max-connections", "", "", "HEARTH_MAX_CONNECTIONS", "server", "max_connections", &O::max_connections, "N", "4096", 1, 65'536, false,
     "Most connections at once. Further ones get 503, but for /health, /livez and /metrics."},
    {"--max-body-mb", "", "", "HEARTH_MAX_BODY_MB", "server", "max_body_mb", &O::max_body_mb, "MIB", "16", 1, 1024, false,
     "Largest request body in MiB. Larger ones get 413."},
    {"--drain-timeout", "", "", "HEARTH_DRAIN_TIMEOUT", "server", "drain_timeout", &O::drain_timeout_s, "SECONDS", "30", 0, kMaxSeconds, false,
     "After SIGTERM, how long running requests may take to end."},

    {"--api-key", "", "", "HEARTH_API_KEY", "access", "api_key", &O::api_keys, "KEY", "", 1, 512, true,
     "A key that requests must carry; repeatable. Other users of the machine can see flags: prefer the variable or --api-key-file."},
    {"--api-key-file", "", "", "HEARTH_API_KEY_FILE", "access", "api_key_file", &O::api_key_file, "FILE", "", 0, kMaxText, false,
     "A file with one KEY or NAME:KEY per line; lines that begin with '#' are comments."},
    {"--allowed-host", "", "", "HEARTH_ALLOWED_HOST", "access", "allowed_host", &O::allowed_hosts, "NAME", "", 1, 253, false,
     "A further host name to answer to: a name, '.suffix' or '*'; repeatable. Other Host headers get 403."},
    {"--allowed-origin", "", "", "HEARTH_ALLOWED_ORIGIN", "access", "allowed_origin", &O::allowed_origins, "ORIGIN", "", 1, 512, false,
     "A web origin whose pages may use the daemon, as https://app.example; repeatable. Others get 403."},
    {"--max-requests-per-key", "", "", "HEARTH_MAX_REQUESTS_PER_KEY", "access", "max_requests_per_key", &O::max_requests_per_key, "N", "0", 0, 1'000'000, false,
     "Most requests of one key at once, running and waiting; without keys, of one x-gateway-inference-fairness-id. Further ones get 429. 0: no limit."},
    {"--shared-prefix-cache", "", "", "HEARTH_SHARED_PREFIX_CACHE", "access", "shared_prefix_cache", &O::shared_prefix_cache, "", "false", 0, 0, false,
     "Lets all keys share cached prompt prefixes: faster, but a key can tell by the time whether another has sent a prompt."},
    {"--insecure", "", "", "HEARTH_INSECURE", "access", "insecure", &O::insecure, "", "false", 0, 0, false,
     "Listens beyond loopback without an API key: whoever reaches the port may use the daemon."},

    {"--threads", "-t", "", "HEARTH_THREADS", "engine", "threads", &O::threads, "N", "0", 0, 1024, false,
     "Compute threads per worker. 0: its share of the CPUs."},
    {"--ctx", "-c", "--ctx-size", "HEARTH_CTX", "engine", "ctx", &O::context_tokens, "TOKENS", "0", 0, kMaxTokens, false,
     "Context per request, prompt and answer together. 0: the model's own."},
    {"--parallel", "", "-np", "HEARTH_PARALLEL", "engine", "parallel", &O::parallel, "N", "0", 0, 4096, false,
     "Sequences that a worker runs at once; memory for full contexts is planned. 0: 16, in the memory there is."},
    {"--kv-type", "", "", "HEARTH_KV_TYPE", "engine", "kv_type", &O::kv_type, "f16|q8_0", "f16", 0, 0, false,
     "Type of the KV cache. q8_0 takes half of the memory."},
    {"--gpu-layers", "-ngl", "--n-gpu-layers", "HEARTH_GPU_LAYERS", "engine", "gpu_layers", &O::gpu_layers, "N|auto|all", "0", 0, 10'000, false,
     "Layers on the GPU. auto: as many as fit, none without a GPU."},
    {"--device", "", "", "HEARTH_DEVICE", "engine", "device", &O::devices, "N,N…|all", "0", 0, 0, false,
     "The GPUs that get layers, by their numbers and in this order. The last one has the output."},
    {"--split", "-ts", "--tensor-split", "HEARTH_SPLIT", "engine", "split", &O::split, "F,F…|auto", "auto", 0, 0, false,
     "How the layers are shared out among several GPUs: in proportion to a number for each. auto: by their free memory."},
    {"--no-kv-offload", "-nkvo", "", "HEARTH_NO_KV_OFFLOAD", "engine", "no_kv_offload", &O::no_kv_offload, "", "false", 0, 0, false,
     "Keeps the KV cache of layers on GPUs in host memory: longer contexts, slower steps. Attention is computed on the CPU then."},
    {"--fast-math-order", "", "", "HEARTH_FAST_MATH_ORDER", "engine", "fast_math_order", &O::fast_math_order, "", "false", 0, 0, false,
     "Lets cuBLAS multiply many rows at once on GPUs. The same request may then get other tokens, depending on what else runs."},
    {"--isa", "", "", "HEARTH_ISA", "engine", "isa", &O::isa, "auto|ref|avx2|avx512|neon", "auto", 0, 0, false,
     "Forces the instruction set of the CPU kernels."},
    {"--step-tokens", "", "", "HEARTH_STEP_TOKENS", "engine", "step_tokens", &O::step_tokens, "N", "512", 1, 65'536, false,
     "Most tokens of one step, all requests together."},
    {"--prefill-chunk", "", "", "HEARTH_PREFILL_CHUNK", "engine", "prefill_chunk", &O::prefill_chunk, "N", "256", 1, 65'536, false,
     "Most prompt tokens of one request in one step. Smaller: other streams flow more evenly while a prompt is read."},
    {"--memory-limit-mb", "", "", "HEARTH_MEMORY_LIMIT_MB", "engine", "memory_limit_mb", &O::memory_limit_mb, "MIB", "0", 0, kMaxMib, false,
     "Memory that the plan may use, in MiB. 0: what the machine and the cgroup have."},
    {"--max-tokens-limit", "", "", "HEARTH_MAX_TOKENS_LIMIT", "engine", "max_tokens_limit", &O::max_tokens_limit, "TOKENS", "0", 0, kMaxTokens, false,
     "Most tokens of one answer, whatever the request says. 0: what the context leaves."},

    {"--workers", "", "", "HEARTH_WORKERS", "workers", "count", &O::workers, "N", "0", 0, 256, false,
     "Worker processes. They share one copy of the weights. 0: one per NUMA node."},
    {"--max-queue", "", "", "HEARTH_MAX_QUEUE", "workers", "max_queue", &O::max_queue, "N", "512", 1, 1'000'000, false,
     "Most requests that wait. Further ones get 429."},
    {"--queue-timeout", "", "", "HEARTH_QUEUE_TIMEOUT", "workers", "queue_timeout", &O::queue_timeout_s, "SECONDS", "0", 0, kMaxSeconds, false,
     "A request that has not begun to run after so long gets 503. 0: it waits as long as its client does."},
    {"--worker-deadline", "", "", "HEARTH_WORKER_DEADLINE", "workers", "deadline", &O::worker_deadline_s, "SECONDS", "10", 1, 3600, false,
     "A worker that has work and shows no progress for so long is replaced."},

    {"--log-level", "", "", "HEARTH_LOG_LEVEL", "log", "level", &O::log_level, "trace|debug|info|warn|error|off", "info", 0, 0, false,
     "Least severe messages that are logged. Prompts never are."},

    // For our own tests: a section that option_sections() does not list is not shown.
    {"--debug-logits-hash", "", "", "HEARTH_DEBUG_LOGITS_HASH", "debug", "logits_hash", &O::debug_logits_hash, "", "false", 0, 0, false,
     "Adds a hash of all logits behind each token to log-probabilities."},
    {"--fault", "", "", "HEARTH_FAULT", "debug", "fault", &O::fault, "KIND@PROMPT:TOKEN[/WORKER]", "", 0, 64, false,
     "Makes a worker abort, exit, kill itself or hang at a token of requests whose prompt has so many tokens."},
};

constexpr SectionRow kSections[] = {
    {"", "General"},
    {"model", "Model"},
    {"server", "Server"},
    {"access", "Access"},
    {"engine", "Engine"},
    {"workers", "Workers"},
    {"log", "Log"},
};
// clang-format on

template <typename... F>
struct Overloaded : F... {
  using F::operator()...;
};

/// True if `value` is one of the words of "a|b|c".
bool is_choice(std::string_view choices, std::string_view value) {
  while (true) {
    const size_t bar = std::min(choices.find('|'), choices.size());
    if (choices.substr(0, bar) == value) return true;
    if (bar == choices.size()) return false;
    choices.remove_prefix(bar + 1);
  }
}

/// Checks one value against one row; the origin begins every message.
class ValueReader {
 public:
  ValueReader(const OptionRow& row, const std::string& origin) : row_(row), origin_(origin) {}

  [[nodiscard]] std::unexpected<Error> refuse(std::string_view value,
                                              const std::string& expected) const {
    std::string message = origin_ + ": ";
    if (row_.secret) {
      message += "the value";
    } else {
      message.append("'").append(value.substr(0, 100)).append("'");
    }
    return fail(ErrorCode::kInvalidArgument, message + " is not " + expected,
                std::string(row_.flag));
  }

  [[nodiscard]] Result<int32_t> number(std::string_view value) const {
    int64_t out = 0;
    const auto parsed = std::from_chars(value.data(), value.data() + value.size(), out);
    const bool whole = parsed.ptr == value.data() + value.size() && !value.empty();
    if (parsed.ec != std::errc() || !whole || out < row_.min || out > row_.max)
      return refuse(value, "a whole number from " + std::to_string(row_.min) + " to " +
                               std::to_string(row_.max));
    return static_cast<int32_t>(out);
  }

  [[nodiscard]] Result<std::string> text(std::string_view value) const {
    const bool control = std::ranges::any_of(
        value, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
    if (control) return refuse("…", "free of control characters");
    // A text without bounds is a choice.
    if (row_.max == 0) {
      if (!is_choice(row_.value_name, value)) return refuse(value, choices());
      return std::string(value);
    }
    const auto size = static_cast<int64_t>(value.size());
    if (size < row_.min || size > row_.max)
      return refuse(value, "a text of " + std::to_string(row_.min) + " to " +
                               std::to_string(row_.max) + " bytes");
    return std::string(value);
  }

  [[nodiscard]] Result<bool> truth(std::string_view value) const {
    if (value == "true" || value == "1") return true;
    if (value == "false" || value == "0") return false;
    return refuse(value, "true or false");
  }

  [[nodiscard]] Result<KvType> kv_type(std::string_view value) const {
    if (value == "f16") return KvType::kF16;
    if (value == "q8_0") return KvType::kQ8_0;
    return refuse(value, choices());
  }

  [[nodiscard]] Result<GpuLayers> gpu_layers(std::string_view value) const {
    if (value == "auto") return GpuLayers{GpuLayers::Kind::kAuto, 0};
    if (value == "all") return GpuLayers{GpuLayers::Kind::kAll, 0};
    const auto count = number(value);
    if (!count)
      return refuse(value, "auto, all or a whole number from 0 to " + std::to_string(row_.max));
    return GpuLayers{GpuLayers::Kind::kCount, *count};
  }

  /// Of a type whose parse() says why not.
  template <typename T>
  [[nodiscard]] Result<T> parsed(std::string_view value) const {
    auto out = T::parse(value);
    if (out.has_value()) return out;
    return fail(ErrorCode::kInvalidArgument, origin_ + ": " + out.error().message,
                std::string(row_.flag));
  }

 private:
  [[nodiscard]] std::string choices() const { return "one of " + std::string(row_.value_name); }

  const OptionRow& row_;
  const std::string& origin_;
};

template <typename T>
Status store(Result<T> value, T& out) {
  if (!value) return std::unexpected(std::move(value).error());
  out = std::move(*value);
  return {};
}

}  // namespace

std::span<const OptionRow> option_table() { return kTable; }
std::span<const SectionRow> option_sections() { return kSections; }

const OptionRow* find_by_flag(std::string_view argument) {
  for (const OptionRow& row : kTable) {
    if (argument.empty()) break;
    if (argument == row.flag || argument == row.short_flag || argument == row.alias) return &row;
  }
  return nullptr;
}

const OptionRow* find_by_variable(std::string_view variable) {
  const auto* row = std::ranges::find(kTable, variable, &OptionRow::variable);
  return row == std::end(kTable) ? nullptr : row;
}

const OptionRow* find_by_key(std::string_view section, std::string_view key) {
  for (const OptionRow& row : kTable) {
    if (!row.section.empty() && row.section == section && row.key == key) return &row;
  }
  return nullptr;
}

Status set_option(const OptionRow& row, std::span<const std::string> values,
                  const std::string& origin, ServeOptions& options) {
  const ValueReader read(row, origin);
  if (!row.is_list() && values.size() != 1)
    return fail(ErrorCode::kInvalidArgument,
                origin + ": expected one value, got " + std::to_string(values.size()),
                std::string(row.flag));
  return std::visit(
      Overloaded{
          [&](std::string O::*at) { return store(read.text(values[0]), options.*at); },
          [&](int32_t O::*at) { return store(read.number(values[0]), options.*at); },
          [&](bool O::*at) { return store(read.truth(values[0]), options.*at); },
          [&](KvType O::*at) { return store(read.kv_type(values[0]), options.*at); },
          [&](GpuLayers O::*at) { return store(read.gpu_layers(values[0]), options.*at); },
          [&](DeviceList O::*at) { return store(read.parsed<DeviceList>(values[0]), options.*at); },
          [&](GpuSplit O::*at) { return store(read.parsed<GpuSplit>(values[0]), options.*at); },
          [&](std::vector<std::string> O::*at) -> Status {
            std::vector<std::string> list(values.size());
            for (size_t i = 0; i < values.size(); ++i)
              HEARTH_RETURN_IF_ERROR(store(read.text(values[i]), list[i]));
            options.*at = std::move(list);
            return {};
          }},
      row.field);
}

std::vector<std::string_view> changed_options(const ServeOptions& before,
                                              const ServeOptions& after) {
  std::vector<std::string_view> flags;
  for (const OptionRow& row : kTable) {
    const bool same = std::visit([&](auto at) { return before.*at == after.*at; }, row.field);
    if (!same) flags.push_back(row.flag);
  }
  return flags;
}

}  // namespace hearth
