#pragma once
// The GGUF container, versions 1 to 3, little-endian: header, metadata, tensor table, padding,
// tensor data. Parsing is a pure function of the file's bytes.

#include <cstddef>
#include <span>
#include <string_view>

#include "base/result.h"
#include "engine/gguf/parsed_file.h"

namespace hearth {

/// Parses one file. Reads metadata and tensor table only, never tensor data; time and memory are
/// linear in those parts' bytes. `file` names it in messages. Errors (kMalformed, kUnsupported)
/// are one line: file, field, value, expectation.
Result<ParsedFile> parse_gguf(std::string_view file, std::span<const std::byte> bytes);

}  // namespace hearth
