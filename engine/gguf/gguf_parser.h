#pragma once
// The GGUF container, versions 2 and 3, little-endian: header, metadata, tensor table, padding,
// tensor data. Parsing is a pure function of the file's bytes.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/gguf/metadata.h"
#include "engine/gguf/model_file.h"

namespace hearth {

/// What one file holds. Everything views `bytes` of parse_gguf.
struct ParsedFile {
  uint32_t version = 0;
  Metadata metadata;
  std::vector<TensorInfo> tensors;  // each within the file; names not yet known to be unique
};

/// Parses one file. Reads metadata and tensor table only, never tensor data; time and memory are
/// linear in those parts' bytes. `file` names it in messages. Errors (kMalformed, kUnsupported)
/// are one line: file, field, value, expectation.
Result<ParsedFile> parse_gguf(std::string_view file, std::span<const std::byte> bytes);

}  // namespace hearth
