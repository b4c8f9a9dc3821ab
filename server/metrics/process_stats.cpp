#include "server/metrics/process_stats.h"

#include <sys/resource.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>

namespace hearth::metrics {
namespace {

/// Bytes of a line "VmRSS:\t   1234 kB".
uint64_t parse_kib(std::string_view line) {
  const size_t digit = line.find_first_of("0123456789");
  uint64_t kib = 0;
  if (digit != std::string_view::npos)
    std::from_chars(line.data() + digit, line.data() + line.size(), kib);
  return kib * 1024;
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double open_fds() {
  std::error_code error;
  const std::filesystem::directory_iterator entries("/proc/self/fd", error);
  if (error) return 0;
  // One of them is the directory that is being listed.
  return static_cast<double>(std::distance(begin(entries), end(entries)) - 1);
}

double max_fds() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return static_cast<double>(limit.rlim_cur);
}

}  // namespace

ProcessMemory read_process_memory() {
  ProcessMemory memory;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmSize:")) memory.virtual_bytes = parse_kib(line);
    if (line.starts_with("VmRSS:")) memory.resident_bytes = parse_kib(line);
    if (line.starts_with("RssAnon:")) memory.private_bytes += parse_kib(line);
    if (line.starts_with("VmSwap:")) memory.private_bytes += parse_kib(line);
  }
  return memory;
}

void add_process_metrics(Registry& registry) {
  auto& cpu = registry
                  .counter("process_cpu_seconds_total",
                           "User and system CPU time of the gateway process in seconds.")
                  .get();
  auto& start = registry
                    .gauge("process_start_time_seconds",
                           "Start of the gateway process, Unix time in seconds.")
                    .get();
  auto& resident = registry
                       .gauge("process_resident_memory_bytes",
                              "Resident memory of the gateway process in bytes.")
                       .get();
  auto& mapped =
      registry
          .gauge("process_virtual_memory_bytes", "Virtual memory of the gateway process in bytes.")
          .get();
  auto& fds =
      registry.gauge("process_open_fds", "Open file descriptors of the gateway process.").get();
  auto& fd_limit =
      registry.gauge("process_max_fds", "Limit of open file descriptors of the gateway process.")
          .get();
  // Metrics are made first thing in main(): now is the start.
  start.set(static_cast<double>(std::time(nullptr)));
  registry.on_expose([&cpu, &resident, &mapped, &fds, &fd_limit] {
    cpu.set_total(cpu_seconds());
    const ProcessMemory memory = read_process_memory();
    resident.set(static_cast<double>(memory.resident_bytes));
    mapped.set(static_cast<double>(memory.virtual_bytes));
    fds.set(open_fds());
    fd_limit.set(max_fds());
  });
}

}  // namespace hearth::metrics
