#include "engine/backend/host_memory.h"

#include <spdlog/fmt/fmt.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

namespace hearth {
namespace {

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

/// The number in a one-line file; kNoLimit for "max" or a file that is not there.
uint64_t read_number(const std::filesystem::path& path) {
  std::ifstream in(path);
  uint64_t value = 0;
  return in >> value ? value : kNoLimit;
}

uint64_t meminfo_available() {
  std::ifstream in("/proc/meminfo");
  std::string word;
  while (in >> word) {
    uint64_t kib = 0;
    if (word == "MemAvailable:" && in >> kib) return kib * 1024;
  }
  return kNoLimit;
}

/// What this process's cgroup and its parents leave, page cache counted as free.
uint64_t cgroup_available() {
  std::ifstream in("/proc/self/cgroup");
  std::string line;
  while (std::getline(in, line)) {
    if (!line.starts_with("0::")) continue;
    uint64_t available = kNoLimit;
    const std::filesystem::path root = "/sys/fs/cgroup";
    for (std::filesystem::path group = root / std::filesystem::path(line.substr(3)).relative_path();
         group != root && group.has_relative_path(); group = group.parent_path()) {
      const uint64_t limit = read_number(group / "memory.max");
      if (limit == kNoLimit) continue;
      const uint64_t used = read_number(group / "memory.current");
      uint64_t cached = 0;
      std::ifstream stat(group / "memory.stat");
      std::string key;
      uint64_t value = 0;
      while (stat >> key >> value)
        if (key == "inactive_file" || key == "active_file") cached += value;
      const uint64_t fixed = used == kNoLimit ? 0 : used - std::min(used, cached);
      available = std::min(available, limit - std::min(limit, fixed));
    }
    return available;
  }
  return kNoLimit;
}

}  // namespace

Result<HostMemory> HostMemory::reserve(size_t bytes, const char* what) {
  HostMemory memory;
  if (bytes == 0) return memory;
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    return fail(ErrorCode::kResourceExhausted, fmt::format("cannot reserve {} bytes for {}: {}",
                                                           bytes, what, std::strerror(errno)));
  }
  // A hint: where the kernel has no huge pages, plain ones serve.
  (void)::madvise(data, bytes, MADV_HUGEPAGE);
  memory.data_ = static_cast<std::byte*>(data);
  memory.bytes_ = bytes;
  return memory;
}

HostMemory::~HostMemory() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

uint64_t available_memory_bytes() { return std::min(meminfo_available(), cgroup_available()); }

}  // namespace hearth
