#pragma once
// The single-file containers of 2023, before GGUF: ggml (no version, no scores), ggmf 1, and ggjt 1
// to 3, whose tensors are aligned so that they can be mapped. LLaMA models only: the containers
// carry no architecture.
//
//   magic, [version], 7 u32 (n_vocab, n_embd, n_mult, n_head, n_layer, n_rot, ftype),
//   n_vocab times: u32 length, bytes, [f32 score; not in ggml],
//   until the end: u32 dimensions, u32 name length, u32 type, u32 per dimension (fastest first),
//   name, [padding to 32 bytes of the file; ggjt only], data.

#include <cstddef>
#include <span>
#include <string_view>

#include "base/result.h"
#include "engine/gguf/parsed_file.h"

namespace hearth {

/// Whether the bytes begin with the magic of one of these containers.
bool is_legacy_file(std::span<const std::byte> bytes);

/// Parses one file: names, metadata and vocabulary are those that a GGUF file of the model has.
/// Tensors stay where they lie, aligned or not. Reads sizes and names only, and copies vectors that
/// are not aligned. Errors (kMalformed, kUnsupported) are one line: file, part, value, expectation,
/// and what to do about formats that are not read.
Result<ParsedFile> parse_legacy(std::string_view file, std::span<const std::byte> bytes);

}  // namespace hearth
