#pragma once
// config.json of a safetensors folder as the metadata that a GGUF file of the model has.

#include "base/result.h"
#include "engine/gguf/metadata.h"
#include "engine/gguf/parsed_file.h"
#include "engine/safetensors/known_models.h"

namespace hearth {

/// Adds general.* and "<architecture>.*" to `out`, and the tensors of factors where frequencies are
/// scaled one by one (llama3, longrope). `config` is the flattened file (JsonReader::flatten),
/// `model` its kind. Q and K rows of these folders pair the halves of a head: where GGUF files do
/// not, "hearth.rope.halves" says so. Errors name the file and the field.
Status translate_config(const Metadata& config, const KnownModel& model, ParsedFile& out);

}  // namespace hearth
