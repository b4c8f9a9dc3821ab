#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "base/result.h"

namespace hearth {

/// Owns one read-only MAP_SHARED mapping of a whole file. Its pages are those of the page cache:
/// every process that maps the file reads the same memory.
///
/// The bytes are stable only while nobody truncates or rewrites the file: reading beyond the new
/// end of a file that was truncated while mapped raises SIGBUS. Checks at load cannot prevent
/// that; replace model files by renaming a new file over the old name.
class MappedFile {
 public:
  /// Maps a regular, non-empty file. Reads none of it. Errors (kNotFound, kIo, kMalformed) name
  /// the file.
  static Result<std::unique_ptr<MappedFile>> open(const std::filesystem::path& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  /// Device, inode, size and time of the last change when it was mapped: the same numbers in every
  /// process that maps the same content.
  using Identity = std::array<uint64_t, 4>;
  [[nodiscard]] const Identity& identity() const { return identity_; }

 private:
  MappedFile(std::span<const std::byte> bytes, const Identity& identity)
      : bytes_(bytes), identity_(identity) {}

  std::span<const std::byte> bytes_;
  Identity identity_;
};

}  // namespace hearth
