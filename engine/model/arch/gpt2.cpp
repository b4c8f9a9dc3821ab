// GPT-2 (Radford et al. 2019): LayerNorm, learned positions, biases everywhere, GELU by tanh.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"

namespace hearth {

Architecture architecture_gpt2();

Architecture architecture_gpt2() { return {"gpt2", read_gpt2_config}; }

}  // namespace hearth
