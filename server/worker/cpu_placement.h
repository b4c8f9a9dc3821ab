#pragma once
// Which CPUs each worker runs on: workers share the CPUs that the daemon may use, each within one
// NUMA node where there are at least as many workers as nodes.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hearth {

/// CPU numbers, ascending, each once.
using CpuList = std::vector<int>;

/// The kernel's form of CPU lists, "0-3,8". kMalformed with the text if it is none.
Result<CpuList> parse_cpu_list(std::string_view text);
std::string format_cpu_list(const CpuList& cpus);

/// CPUs of this process's affinity mask.
CpuList allowed_cpus();
/// CPUs' worth of time that the control groups (v2) of this process grant, rounded up; nothing if
/// there is no limit.
std::optional<int> cgroup_cpu_limit(const std::filesystem::path& cgroup_root = "/sys/fs/cgroup",
                                    const std::filesystem::path& own_cgroup = "/proc/self/cgroup");

/// The NUMA nodes that have CPUs of `allowed`, with those CPUs; one node of all if the system
/// tells of none.
std::vector<CpuList> numa_nodes(const CpuList& allowed,
                                const std::filesystem::path& sysfs = "/sys/devices/system/node");

/// The CPUs of each of `num_workers` workers. Slices do not overlap unless there are more workers
/// than CPUs.
std::vector<CpuList> place_workers(const std::vector<CpuList>& nodes, int num_workers);

/// Binds this process, and the threads it will make, to `cpus`.
Status pin_process(const CpuList& cpus);

}  // namespace hearth
