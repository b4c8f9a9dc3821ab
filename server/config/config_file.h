#pragma once
// The TOML file: found keys with their values as text and the lines they stand on.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "server/config/option_table.h"

namespace hearth {

struct FileEntry {
  const OptionRow* row;
  std::vector<std::string> values;  // several only for a list
  std::string origin;               // "hearth.toml:4"
};

/// A configuration is a few KiB; what is larger is another file.
inline constexpr size_t kMaxConfigBytes = size_t{1} << 20;

/// Parses the text of a file called `name`. kMalformed if it is not TOML, kInvalidArgument for an
/// unknown section or key and a value of the wrong kind; each with name and line.
/// Values are checked later, by set_option().
Result<std::vector<FileEntry>> parse_config(std::string_view text, const std::string& name);

/// Reads and parses a file. Also kNotFound, kIo, and kTooLarge over kMaxConfigBytes.
Result<std::vector<FileEntry>> read_config(const std::string& path);

}  // namespace hearth
