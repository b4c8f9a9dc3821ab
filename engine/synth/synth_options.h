#pragma once
// How options become a plan: architecture and type traits, checked.

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "engine/synth/synth_archs.h"
#include "engine/synth/synthetic_model.h"
#include "kernels/dtype.h"

namespace hearth {

/// The types of a file's matrices.
struct SynthType {
  std::string_view name;
  DType dtype;         // of most matrices
  bool mixed;          // attn_v and ffn_down q6_k in half of the layers
  uint32_t file_type;  // general.file_type
};

/// The rows of the tables; kInvalidArgument with the choices if there is none.
Result<const SynthArch*> find_synth_arch(std::string_view name);
Result<const SynthType*> find_synth_type(std::string_view name);

/// Ranges, divisibility, and rows of whole blocks. `vocab_size` is the vocabulary in effect.
Status check_synth_options(const SynthOptions& options, int64_t vocab_size);

}  // namespace hearth
