#pragma once
// config.json of a safetensors folder as the metadata that a GGUF file of the model has.

#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/gguf/metadata.h"
#include "engine/gguf/parsed_file.h"

namespace hearth {

/// Adds general.* and "<architecture>.*" to `out`, and the tensor rope_freqs.weight where the
/// description scales frequencies one by one (llama3). `config` is the flattened file
/// (JsonReader::flatten). Q and K rows of these folders pair the halves of a head, which
/// "hearth.rope.halves" says. Errors name the file and the field; kUnsupported lists what is known.
Status translate_config(const Metadata& config, ParsedFile& out);

/// The GGUF name of a tensor ("model.layers.3.self_attn.q_proj.weight" becomes
/// "blk.3.attn_q.weight"); empty for buffers that nobody reads; any other name stays.
std::string gguf_name_of_safetensors(std::string_view name);

}  // namespace hearth
