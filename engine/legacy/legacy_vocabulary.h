#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "engine/gguf/metadata.h"

namespace hearth {

/// Reads `count` tokens from byte `begin` on and adds them to `metadata` as the SentencePiece
/// vocabulary that GGUF files of the same models have: blanks as U+2581, byte tokens by their
/// names, the first three unknown, BOS and EOS. Without scores, those that the LLaMA vocabulary
/// has: the order of ids. Returns where the vocabulary ends. `file` is quoted already.
Result<size_t> read_legacy_vocabulary(std::string_view file, std::span<const std::byte> bytes,
                                      size_t begin, uint32_t count, bool has_scores,
                                      Metadata& metadata);

}  // namespace hearth
