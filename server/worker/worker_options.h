#pragma once
// What a worker process is told by its command line: `hearth worker --fd=3 --index=0 --model=…`.
// Hidden from users: the gateway writes it, the same binary reads it.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "server/worker/cpu_placement.h"

namespace hearth {

struct WorkerOptions {
  int32_t fd = 3;     // the inherited end of the socket pair
  int32_t index = 0;  // names the worker in logs and metrics
  CpuList cpus;       // to run on; empty: wherever the gateway may
  std::string log_level = "info";
  std::string fault;  // server/worker/fault.h; empty: none
  EngineOptions engine;
};

/// The arguments behind "worker": every option, as --name=value.
std::vector<std::string> format_worker_arguments(const WorkerOptions& options);

/// The inverse. kInvalidArgument names an argument that is unknown or does not parse.
Result<WorkerOptions> parse_worker_arguments(std::span<char* const> arguments);

}  // namespace hearth
