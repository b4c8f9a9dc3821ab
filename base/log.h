#pragma once
// One log for all processes: lines to stderr, prefixed with time, process role and level.
// Prompts and keys never go into a log line.

#include <spdlog/spdlog.h>

#include <string>

#include "base/result.h"

namespace hearth {

/// Sets up the process-wide logger. `role` names the process in each line: "gateway", "worker 0".
/// Under systemd (JOURNAL_STREAM set) lines carry the <N> priority prefix instead of a time.
void init_log(const std::string& role);

/// One of trace, debug, info, warn, error, off.
Status set_log_level(const std::string& level);

}  // namespace hearth
