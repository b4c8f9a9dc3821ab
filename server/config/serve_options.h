#pragma once
// What `hearth serve` was told: the values of the option table (server/config/option_table.cpp),
// merged from flags, HEARTH_... variables, the file and the defaults, each checked.

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/backend/device_list.h"
#include "engine/backend/gpu_layers.h"

namespace hearth {

enum class KvType { kF16, kQ8_0 };

/// Values as read; the table holds defaults, ranges and help. Get one from
/// parse_serve_options() or default_serve_options(), not by hand: the members start empty.
struct ServeOptions {
  std::string config;  // the file that was read; empty: none

  // [model]
  std::string model;          // path of a GGUF file; empty: the built-in model
  std::string model_name;     // id in /v1/models; empty: from the file
  std::string chat_template;  // name of a built-in template or a file; empty: the model's own

  // [server]
  std::string host;
  int32_t port = 0;  // 0: any free port
  int32_t max_connections = 0;
  int32_t max_body_mb = 0;
  int32_t drain_timeout_s = 0;  // after SIGTERM, how long running requests may take

  // [access]
  std::vector<std::string> api_keys;
  std::string api_key_file;
  std::vector<std::string> allowed_hosts;
  std::vector<std::string> allowed_origins;
  int32_t max_requests_per_key = 0;  // live ones; 0: no limit
  bool shared_prefix_cache = false;
  bool insecure = false;  // listen beyond loopback without a key

  // [engine]
  int32_t threads = 0;         // per worker; 0: the worker's share of the CPUs
  int32_t context_tokens = 0;  // per sequence; 0: the model's own
  int32_t parallel = 0;        // sequences that run at once in a worker
  KvType kv_type = KvType::kF16;
  GpuLayers gpu_layers;
  DeviceList devices;
  GpuSplit split;
  bool no_kv_offload = false;    // the KV cache of layers on a GPU stays in host memory
  bool fast_math_order = false;  // EngineOptions::fast_math_order
  std::string isa;               // auto, ref, avx2, avx512, neon
  int32_t step_tokens = 0;
  int32_t prefill_chunk = 0;
  int32_t memory_limit_mb = 0;   // 0: what the machine and the cgroup have
  int32_t max_tokens_limit = 0;  // most tokens of one answer; 0: what the context leaves

  // [workers]
  int32_t workers = 0;  // 0: one per NUMA node
  int32_t max_queue = 0;
  int32_t queue_timeout_s = 0;    // a request that has not begun by then is refused; 0: never
  int32_t worker_deadline_s = 0;  // a worker with work and no progress for so long is replaced

  // [log]
  std::string log_level;

  // [debug]
  bool debug_logits_hash = false;  // log-probabilities have a hash of all logits
  std::string fault;               // server/worker/fault.h; empty: none
};

/// HEARTH_... variables by name.
using Environment = std::map<std::string, std::string>;
/// Those of this process.
Environment hearth_environment();

struct ServeCommandLine {
  ServeOptions options;
  bool help = false;  // --help was given; options are the defaults
  /// Where each option that is not at its default came from: flag -> "--port",
  /// "HEARTH_PORT", "hearth.toml:4". For the start-up log and for later messages. No values:
  /// some are secret.
  std::map<std::string, std::string> origins;
  /// HEARTH_... variables that are no options, a line each for the log.
  std::vector<std::string> ignored;
};

/// Merges `args` (without the program's and the subcommand's name), `environment` and the file
/// named by --config or HEARTH_CONFIG over the defaults. An unknown flag or key and a value out
/// of range are kInvalidArgument with a message that names it and its origin.
Result<ServeCommandLine> parse_serve_options(std::span<const std::string> args,
                                             const Environment& environment);

/// The table's defaults.
ServeOptions default_serve_options();

/// The text of `hearth serve --help`.
std::string render_serve_help();
/// The text of config/hearth.toml: every option, commented out, at its default.
std::string render_default_toml();

}  // namespace hearth
