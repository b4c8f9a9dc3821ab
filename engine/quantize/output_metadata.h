#pragma once
// A model's metadata as a new GGUF file has it.

#include <cstdint>
#include <optional>

#include "engine/gguf/model_file.h"
#include "engine/synth/gguf_writer.h"

namespace hearth {

struct OutputTypes {
  std::optional<uint32_t> file_type;  // general.file_type; nothing: left out
  bool quantized = false;             // some tensor has blocks
};

/// Adds the entries of `file` to `writer`: general.* first, the tokenizer's last, each in
/// alphabetical order, so that one model gives one file. Entries that describe the old file (its
/// split and alignment, its type) are left out or set anew. Keys of Hearth's own that translated
/// metadata has are left out where the tensors written no longer need them, and said in the way of
/// GGUF where there is one; readers ignore the others.
void write_metadata(const ModelFile& file, const OutputTypes& types, GgufWriter& writer);

}  // namespace hearth
