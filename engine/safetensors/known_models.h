#pragma once
// The models whose folders are read: what their config.json and their tensors are called, and what
// GGUF calls the same.

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/gguf/metadata.h"

namespace hearth {

/// A name of the folder and the GGUF name of the same thing.
struct NamePair {
  std::string_view own;
  std::string_view gguf;
};

struct KnownModel {
  std::string_view model_type;    // in config.json
  std::string_view architecture;  // general.architecture
  std::string_view activation = "silu";
  /// GGUF files of the architecture have Q and K rows interleaved, folders have halves.
  bool interleaved_in_gguf = false;
  /// Norms are stored as what they differ from 1.
  bool norms_lack_one = false;
  /// Whether "sliding_window" holds for the layers that the architecture says, without a switch.
  bool has_windows = false;
  /// Numbers of config.json and the GGUF keys (behind "<architecture>.") they are.
  std::span<const NamePair> numbers{};
  /// Parts of a layer's tensor names that differ from the common ones.
  std::span<const NamePair> layer_names{};
  /// Refuses what the architecture's description has no place for.
  Status (*check)(const Metadata& config) = nullptr;
};

/// The row of config.json's "model_type"; kUnsupported with the list of known ones.
Result<const KnownModel*> find_known_model(const Metadata& config);

/// The GGUF name of a tensor ("model.layers.3.self_attn.q_proj.weight" becomes
/// "blk.3.attn_q.weight"); empty for buffers that nobody reads; any other name stays.
std::string gguf_name_of_safetensors(const KnownModel& model, std::string_view name);

}  // namespace hearth
