#include "base/read_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/unique_fd.h"

namespace hearth {

Result<std::string> read_small_file(const std::string& path, size_t max_bytes,
                                    const std::string& param) {
  const auto refuse = [&](int why) {
    return fail(why == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo,
                "cannot read '" + path + "': " + std::generic_category().message(why), param);
  };
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return refuse(errno);
  std::string text;
  char bytes[4096];
  while (true) {  // the size is not asked for: the file may be a pipe
    const ssize_t got = ::read(fd.get(), bytes, sizeof bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return refuse(errno);
    if (got == 0) return text;
    text.append(bytes, static_cast<size_t>(got));
    if (text.size() > max_bytes)
      return fail(ErrorCode::kTooLarge,
                  "'" + path + "' is larger than " + std::to_string(max_bytes) + " bytes", param);
  }
}

}  // namespace hearth
