// StarCoder (Li et al. 2023): GPT-2 with one KV head for all heads.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"

namespace hearth {

Architecture architecture_starcoder();

Architecture architecture_starcoder() { return {"starcoder", read_gpt2_config}; }

}  // namespace hearth
