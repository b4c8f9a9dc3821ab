#include "engine/quantize/output_metadata.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

namespace hearth {
namespace {

constexpr uint32_t kQuantizationVersion = 2;  // of the block layouts since May 2023

constexpr std::array<std::string_view, 7> kLeftOut = {
    "general.alignment", "general.file_type", "general.quantization_version",
    "split.no",          "split.count",       "split.tensors.count",
    "hearth.rope.halves"};

/// general.architecture, general.*, the architecture's keys, tokenizer.*.
int rank(std::string_view key) {
  if (key == "general.architecture") return 0;
  if (key.starts_with("general.")) return 1;
  return key.starts_with("tokenizer.") || key.starts_with("hearth.") ? 3 : 2;
}

/// Folders may name several tokens that end an answer; GGUF has a key for one besides EOS.
void write_end_of_turn(const Metadata& metadata, GgufWriter& writer) {
  constexpr std::string_view kEndOfTurn = "tokenizer.ggml.eot_token_id";
  if (metadata.contains(kEndOfTurn)) return;
  const auto ends = metadata.i32s("hearth.tokenizer.end_ids");
  const auto eos = metadata.u32("tokenizer.ggml.eos_token_id");
  if (!ends.has_value()) return;
  for (const int32_t id : *ends) {
    if (id < 0 || (eos.has_value() && *eos == static_cast<uint32_t>(id))) continue;
    writer.add_u32(kEndOfTurn, static_cast<uint32_t>(id));
    return;
  }
}

}  // namespace

void write_metadata(const ModelFile& file, const OutputTypes& types, GgufWriter& writer) {
  const Metadata& metadata = file.metadata();
  std::vector<std::string_view> keys;
  for (const auto& [key, value] : metadata.entries())
    if (std::ranges::find(kLeftOut, key) == kLeftOut.end()) keys.push_back(key);
  std::ranges::sort(keys, [](std::string_view a, std::string_view b) {
    return std::pair(rank(a), a) < std::pair(rank(b), b);
  });
  for (const std::string_view key : keys) writer.add_value(key, *metadata.find(key));
  if (types.file_type) writer.add_u32("general.file_type", *types.file_type);
  if (types.quantized) writer.add_u32("general.quantization_version", kQuantizationVersion);
  write_end_of_turn(metadata, writer);
}

}  // namespace hearth
