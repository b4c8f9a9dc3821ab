#include "server/metrics/process_stats.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace hearth::metrics;

TEST_CASE("private memory follows what is touched") {
  const ProcessMemory before = read_process_memory();
  CHECK(before.resident_bytes > 0);
  CHECK(before.virtual_bytes >= before.resident_bytes);
  CHECK(before.private_bytes > 0);
  constexpr size_t kBytes = 32U << 20;
  std::vector<char> touched(kBytes, 1);
  const ProcessMemory after = read_process_memory();
  CHECK(after.private_bytes >= before.private_bytes + kBytes / 2);
  CHECK(touched.back() == 1);
}

TEST_CASE("the process_ series are there, with their types") {
  Registry registry;
  add_process_metrics(registry);
  const std::string text = registry.expose();
  CHECK(text.find("# TYPE process_cpu_seconds_total counter\n") != std::string::npos);
  for (const char* name : {"process_resident_memory_bytes", "process_virtual_memory_bytes",
                           "process_open_fds", "process_max_fds", "process_start_time_seconds"}) {
    CAPTURE(name);
    CHECK(text.find(std::string("# TYPE ") + name + " gauge\n") != std::string::npos);
    CHECK(text.find(std::string("\n") + name + " 0\n") == std::string::npos);
  }
}
