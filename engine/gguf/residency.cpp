#include "engine/gguf/residency.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <vector>

#include "engine/gguf/quote.h"

namespace hearth {
namespace {

/// Pages asked about at a time: 1 GiB of file for 256 KiB of answers.
constexpr size_t kPagesAtOnce = size_t{1} << 18;

}  // namespace

Result<uint64_t> resident_bytes(std::span<const std::byte> mapped) {
  if (mapped.empty()) return 0;
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(mapped.data());
  const uintptr_t end = begin + mapped.size();
  const uintptr_t first = begin / page * page;
  std::vector<unsigned char> pages(std::min(kPagesAtOnce, (end - first + page - 1) / page));
  uint64_t resident = 0;
  for (uintptr_t at = first; at < end; at += pages.size() * page) {
    const size_t bytes = std::min<size_t>(end - at, pages.size() * page);
    if (::mincore(reinterpret_cast<void*>(at), bytes, pages.data()) != 0)
      return fail(ErrorCode::kIo, "cannot ask which pages are in the page cache: " +
                                      std::generic_category().message(errno));
    for (size_t i = 0; i * page < bytes; ++i) {
      if ((pages[i] & 1) == 0) continue;
      // The pages at both ends may belong to others too.
      const uintptr_t page_begin = std::max(at + i * page, begin);
      const uintptr_t page_end = std::min(at + (i + 1) * page, end);
      resident += page_end - page_begin;
    }
  }
  return resident;
}

Status check_residency_is_told(const std::filesystem::path& path) {
  struct stat info {};
  const bool known = ::stat(path.c_str(), &info) == 0;
  const uid_t user = ::geteuid();
  if (known && (user == 0 || info.st_uid == user || ::access(path.c_str(), W_OK) == 0)) return {};
  return fail(ErrorCode::kForbidden,
              quote_foreign(path.string()) +
                  ": the kernel tells which pages are in the page cache only to the file's owner "
                  "and to those who may write it");
}

}  // namespace hearth
