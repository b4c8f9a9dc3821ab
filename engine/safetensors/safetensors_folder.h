#pragma once
// A folder as models are published: config.json, tokenizer.json and companions, and the weights in
// model.safetensors or in the shards that model.safetensors.index.json names. Served as it is:
// weights are mapped where they lie. The page to read first in engine/safetensors.

#include <filesystem>
#include <memory>
#include <vector>

#include "base/result.h"
#include "engine/gguf/mapped_file.h"
#include "engine/gguf/parsed_file.h"

namespace hearth {

/// What a folder holds, described as a GGUF file of the model is; tensors view the shards.
struct SafetensorsModel {
  ParsedFile parsed;
  std::vector<std::unique_ptr<MappedFile>> shards;
};

/// Opens the folder. Reads headers and the JSON files, and copies norms and biases that are not
/// f32; touches no matrix. Errors are one line: file, field, value, expectation, and what to do
/// about what is not read.
Result<SafetensorsModel> read_safetensors_folder(const std::filesystem::path& folder);

}  // namespace hearth
