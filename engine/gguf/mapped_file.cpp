#include "engine/gguf/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <system_error>

#include "base/unique_fd.h"
#include "engine/gguf/quote.h"

namespace hearth {
namespace {

std::unexpected<Error> system_error(const std::filesystem::path& path, const char* action) {
  const int error = errno;
  const ErrorCode code = error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo;
  return fail(code, quote_foreign(path.string()) + ": cannot " + action + ": " +
                        std::generic_category().message(error));
}

}  // namespace

Result<std::unique_ptr<MappedFile>> MappedFile::open(const std::filesystem::path& path) {
  // O_NONBLOCK: a FIFO in the place of a model must not make the open wait for a writer.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return system_error(path, "open");
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return system_error(path, "read the size");
  if (!S_ISREG(info.st_mode))
    return fail(ErrorCode::kMalformed,
                quote_foreign(path.string()) + ": not a regular file, expected a model file");
  if (info.st_size == 0)
    return fail(ErrorCode::kMalformed,
                quote_foreign(path.string()) + ": size: 0 bytes, expected a model file");
  const auto size = static_cast<size_t>(info.st_size);
  void* base = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (base == MAP_FAILED) return system_error(path, "map");
  // Before the first touch: lets the page cache use 2 MiB folios where the file system can.
  // Advice for speed alone; kernels without it answer EINVAL and all else stays the same.
  static_cast<void>(::madvise(base, size, MADV_HUGEPAGE));
  const Identity identity{info.st_dev, info.st_ino, size,
                          static_cast<uint64_t>(info.st_mtim.tv_sec) * 1'000'000'000 +
                              static_cast<uint64_t>(info.st_mtim.tv_nsec)};
  return std::unique_ptr<MappedFile>(
      new MappedFile({static_cast<const std::byte*>(base), size}, identity));
}

MappedFile::~MappedFile() {
  // The pages are only read, so casting const away does not write to them.
  ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace hearth
