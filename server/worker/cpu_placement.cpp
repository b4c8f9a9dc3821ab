#include "server/worker/cpu_placement.h"

#include <sched.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <system_error>

#include "base/check.h"

namespace hearth {
namespace {

/// "a" or "a-b" of a list.
bool append_range(std::string_view text, CpuList& cpus) {
  int first = 0;
  const char* const end = text.data() + text.size();
  auto parsed = std::from_chars(text.data(), end, first);
  if (parsed.ec != std::errc() || first < 0 || first >= CPU_SETSIZE) return false;
  int last = first;
  if (parsed.ptr != end) {
    if (*parsed.ptr != '-') return false;
    parsed = std::from_chars(parsed.ptr + 1, end, last);
    if (parsed.ec != std::errc() || parsed.ptr != end) return false;
    if (last < first || last >= CPU_SETSIZE) return false;
  }
  for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
  return true;
}

std::string first_line(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

/// Slice `index` of `count` of a node's CPUs; with more slices than CPUs, one CPU in turn.
CpuList slice(const CpuList& cpus, size_t index, size_t count) {
  if (count > cpus.size()) return {cpus[index % cpus.size()]};
  const auto at = [&](size_t i) {
    return cpus.begin() + static_cast<ptrdiff_t>(cpus.size() * i / count);
  };
  return {at(index), at(index + 1)};
}

/// CPUs of one cpu.max file, "QUOTA PERIOD" in microseconds or "max PERIOD".
std::optional<int> parse_cpu_max(const std::string& text) {
  int64_t quota = 0;
  int64_t period = 0;
  const char* const end = text.data() + text.size();
  auto parsed = std::from_chars(text.data(), end, quota);
  if (parsed.ec != std::errc() || parsed.ptr == end) return std::nullopt;
  parsed = std::from_chars(parsed.ptr + 1, end, period);
  if (parsed.ec != std::errc() || period <= 0 || quota <= 0) return std::nullopt;
  return static_cast<int>(std::min<int64_t>((quota + period - 1) / period, CPU_SETSIZE));
}

}  // namespace

Result<CpuList> parse_cpu_list(std::string_view text) {
  CpuList cpus;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t comma = std::min(rest.find(','), rest.size());
    if (!append_range(rest.substr(0, comma), cpus)) {
      return fail(ErrorCode::kMalformed,
                  fmt::format("'{}' is not a list of CPUs like 0-3,8", text));
    }
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  std::ranges::sort(cpus);
  cpus.erase(std::ranges::unique(cpus).begin(), cpus.end());
  return cpus;
}

std::string format_cpu_list(const CpuList& cpus) {
  std::string text;
  for (size_t i = 0; i < cpus.size();) {
    size_t last = i;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
    if (!text.empty()) text += ',';
    text += last > i ? fmt::format("{}-{}", cpus[i], cpus[last]) : fmt::to_string(cpus[i]);
    i = last + 1;
  }
  return text;
}

CpuList allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  CpuList cpus;
  // Fails only on machines with more than CPU_SETSIZE CPUs: the first one is surely there.
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return {0};
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

std::optional<int> cgroup_cpu_limit(const std::filesystem::path& cgroup_root,
                                    const std::filesystem::path& own_cgroup) {
  // The version 2 line is "0::/path"; every group up to the root may set a limit.
  std::filesystem::path group;
  std::ifstream lines(own_cgroup);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("0::/")) group = line.substr(4);
  std::optional<int> limit;
  while (true) {
    if (const auto here = parse_cpu_max(first_line(cgroup_root / group / "cpu.max")))
      limit = std::min(*here, limit.value_or(*here));
    if (group.empty()) return limit;
    group = group.parent_path();
  }
}

std::vector<CpuList> numa_nodes(const CpuList& allowed, const std::filesystem::path& sysfs) {
  std::vector<CpuList> nodes;
  const auto online = parse_cpu_list(first_line(sysfs / "online"));
  if (online.has_value()) {
    for (const int node : *online) {
      const auto cpus =
          parse_cpu_list(first_line(sysfs / (fmt::format("node{}", node)) / "cpulist"));
      if (!cpus.has_value()) continue;
      CpuList usable;
      std::ranges::set_intersection(*cpus, allowed, std::back_inserter(usable));
      if (!usable.empty()) nodes.push_back(std::move(usable));
    }
  }
  if (nodes.empty()) nodes.push_back(allowed);
  return nodes;
}

std::vector<CpuList> place_workers(const std::vector<CpuList>& nodes, int num_workers) {
  HEARTH_CHECK(num_workers >= 1 && !nodes.empty(), "workers and nodes");
  const auto workers = static_cast<size_t>(num_workers);
  const size_t num_nodes = nodes.size();
  std::vector<CpuList> placed(workers);
  if (workers < num_nodes) {  // each worker takes whole nodes
    for (size_t node = 0; node < num_nodes; ++node) {
      CpuList& cpus = placed[node * workers / num_nodes];
      cpus.insert(cpus.end(), nodes[node].begin(), nodes[node].end());
    }
    for (CpuList& cpus : placed) std::ranges::sort(cpus);
    return placed;
  }
  for (size_t node = 0; node < num_nodes; ++node) {
    // The workers of a node are consecutive: [begin, end).
    const size_t begin = (node * workers + num_nodes - 1) / num_nodes;
    const size_t end = ((node + 1) * workers + num_nodes - 1) / num_nodes;
    for (size_t worker = begin; worker < end; ++worker)
      placed[worker] = slice(nodes[node], worker - begin, end - begin);
  }
  return placed;
}

Status pin_process(const CpuList& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(cpu, &set);
  if (::sched_setaffinity(0, sizeof set, &set) != 0) {
    return fail(ErrorCode::kIo, fmt::format("cannot bind to CPUs {}: {}", format_cpu_list(cpus),
                                            std::generic_category().message(errno)));
  }
  return {};
}

}  // namespace hearth
