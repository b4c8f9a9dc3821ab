#pragma once
// Figures of the own process from /proc (proc(5)).

#include <cstdint>

#include "server/metrics/registry.h"

namespace hearth::metrics {

struct ProcessMemory {
  uint64_t resident_bytes = 0;  // anonymous, file and shared pages in memory
  uint64_t private_bytes = 0;   // anonymous pages, in memory or swapped out
  uint64_t virtual_bytes = 0;
};

/// From /proc/self/status: cheap however large the mappings are. Zeros where /proc is not mounted.
ProcessMemory read_process_memory();

/// The standard process_* series of client libraries, refreshed at each exposition.
void add_process_metrics(Registry& registry);

}  // namespace hearth::metrics
