// hearth serve: from the command line to a running Daemon.
#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "engine/backend/host_memory.h"
#include "server/cli/builtin_model.h"
#include "server/cli/commands.h"
#include "server/cli/daemon.h"
#include "server/cli/gpu_choice.h"
#include "server/cli/served_model.h"
#include "server/config/serve_options.h"
#include "server/supervisor/signals.h"
#include "server/worker/cpu_placement.h"
#include "server/worker/fault.h"

namespace hearth {
namespace {

constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;

int report(const Error& error, int exit_status) {
  std::fprintf(stderr, "hearth: %s\n", error.message.c_str());
  return exit_status;
}

/// What one of `num_workers` may use: the weights, which all share, and its part of the rest.
uint64_t memory_share(uint64_t total, uint64_t weights, size_t num_workers) {
  if (total <= weights) return total / num_workers;
  return weights + (total - weights) / num_workers;
}

/// Threads of a worker with `cpus`, and whether it should be bound to them.
void place_threads(WorkerOptions& worker, const CpuList& cpus, int32_t wanted, size_t num_workers,
                   std::optional<int> cpu_limit) {
  const auto slice = static_cast<int32_t>(cpus.size());
  worker.engine.threads = wanted > 0 ? wanted : slice;
  if (wanted == 0 && cpu_limit) {
    // A control group grants CPU time, not CPUs: more threads than that would wait for each other.
    const auto share = std::max<int32_t>(*cpu_limit / static_cast<int32_t>(num_workers), 1);
    worker.engine.threads = std::min(slice, share);
  }
  // Binding helps where each thread has a CPU of the slice to itself.
  if (worker.engine.threads == slice) worker.cpus = cpus;
}

std::vector<WorkerOptions> plan_workers(const ServeOptions& options, const ModelFile& file) {
  const auto nodes = numa_nodes(allowed_cpus());
  const auto num_workers =
      options.workers > 0 ? static_cast<size_t>(options.workers) : nodes.size();
  const auto places = place_workers(nodes, static_cast<int>(num_workers));
  const auto cpu_limit = cgroup_cpu_limit();
  const uint64_t memory = options.memory_limit_mb > 0
                              ? static_cast<uint64_t>(options.memory_limit_mb) << 20
                              : available_memory_bytes();
  std::vector<WorkerOptions> workers(num_workers);
  for (size_t i = 0; i < num_workers; ++i) {
    WorkerOptions& worker = workers[i];
    worker.fd = Supervisor::kWorkerFd;
    worker.index = static_cast<int32_t>(i);
    worker.log_level = options.log_level;
    worker.fault = options.fault;
    worker.engine.model = file.path();
    worker.engine.isa = options.isa;
    worker.engine.context_tokens = options.context_tokens;
    worker.engine.parallel = options.parallel;
    worker.engine.kv_type = options.kv_type == KvType::kF16 ? DType::kF16 : DType::kQ8_0;
    worker.engine.step_tokens = options.step_tokens;
    worker.engine.prefill_chunk = options.prefill_chunk;
    worker.engine.hash_logits = options.debug_logits_hash;
    worker.engine.gpu_layers = options.gpu_layers;
    worker.engine.devices = options.devices;
    worker.engine.split = options.split;
    worker.engine.kv_offload = !options.no_kv_offload;
    worker.engine.fast_math_order = options.fast_math_order;
    // Stated, not measured by each worker: a restarted worker must plan as the first one did.
    worker.engine.memory_limit_bytes = memory_share(memory, file.mapped_bytes(), num_workers);
    place_threads(worker, places[i], options.threads, num_workers, cpu_limit);
  }
  return workers;
}

Result<std::unique_ptr<auth::AccessPolicy>> make_access(const ServeOptions& options) {
  return auth::AccessPolicy::create({.host = options.host,
                                     .api_keys = options.api_keys,
                                     .api_key_file = options.api_key_file,
                                     .allowed_hosts = options.allowed_hosts,
                                     .allowed_origins = options.allowed_origins,
                                     .insecure = options.insecure});
}

int serve(const ServeOptions& options, Signals signals,
          std::function<Result<ServeOptions>()> read_options) {
  const bool builtin = options.model.empty();
  const std::filesystem::path path =
      builtin ? builtin_model_path() : std::filesystem::path(options.model);
  if (!options.fault.empty()) {
    if (const auto fault = parse_fault(options.fault); !fault.has_value())
      return report(fault.error(), kWrongUsage);
  }
  auto access = make_access(options);
  if (!access.has_value()) return report(access.error(), kWrongUsage);
  auto file = ModelFile::open(path);
  if (!file.has_value()) return report(file.error(), kFailed);
  // Looked for before anything starts, so that a wrong --chat-template is wrong usage.
  if (const auto source = find_chat_template(options.chat_template, (*file)->metadata());
      !source.has_value()) {
    return report(source.error(), source.error().param.empty() ? kFailed : kWrongUsage);
  }
  if (builtin)
    spdlog::info("no -m: serving the built-in model, a small demonstration, not an assistant");
  std::vector<WorkerOptions> workers = plan_workers(options, **file);
  if (const auto gpu = choose_gpu_layers(workers); !gpu.has_value())
    return report(gpu.error(),
                  gpu.error().code == ErrorCode::kResourceExhausted ? kFailed : kWrongUsage);
  Daemon daemon(options, std::move(read_options), std::move(*access), std::move(signals),
                std::move(workers), served_name(options, **file));
  const auto status = daemon.run(std::move(*file));
  return status.has_value() ? 0 : report(status.error(), kFailed);
}

}  // namespace

int serve_command(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const auto environment = hearth_environment();
  const auto command_line = parse_serve_options(arguments, environment);
  if (!command_line.has_value()) return report(command_line.error(), kWrongUsage);
  if (command_line->help) {
    std::fputs(render_serve_help().c_str(), stdout);
    return 0;
  }
  init_log("gateway");
  if (const auto status = set_log_level(command_line->options.log_level); !status.has_value())
    return report(status.error(), kWrongUsage);
  for (const std::string& line : command_line->ignored) spdlog::warn("ignored: {}", line);
  auto signals = Signals::block();
  if (!signals.has_value()) return report(signals.error(), kFailed);
  // The file may say something else by then; flags and variables are what they are.
  const auto read_options = [&]() -> Result<ServeOptions> {
    HEARTH_ASSIGN_OR_RETURN(auto again, parse_serve_options(arguments, environment));
    return again.options;
  };
  return serve(command_line->options, std::move(*signals), read_options);
}

}  // namespace hearth
