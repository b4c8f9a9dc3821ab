#pragma once
// Writes a GGUF file of plain floats as a safetensors folder: the same weights, byte for byte, with
// the rows of Q and K in the order that such folders have.

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "engine/gguf/model_file.h"

namespace hearth::testing {

using Json = nlohmann::ordered_json;

struct FolderOptions {
  size_t shards = 1;             // above 1: with an index
  bool halves = true;            // undo GGUF's interleaving of Q and K rows where it has one
  std::string chat_template{};   // for tokenizer_config.json
  Json config = Json::object();  // merged over config.json
  std::string model_type{};      // in config.json; empty: the architecture
  /// Parts of layers' names by GGUF's, over the common ones; a star stands for an expert's number.
  std::map<std::string, std::string> names{};
  bool norms_lack_one = false;  // norms are stored less 1
};

/// A tensor as the folder has it.
struct FolderTensor {
  std::string name;
  DType dtype;
  std::vector<int64_t> shape;  // slowest first
  std::string data;
};

inline std::string folder_tensor_name(std::string_view name,
                                      const std::map<std::string, std::string>& names) {
  static const std::map<std::string, std::string> kParts = {
      {"attn_norm", "input_layernorm"},    {"ffn_norm", "post_attention_layernorm"},
      {"attn_q_norm", "self_attn.q_norm"}, {"attn_k_norm", "self_attn.k_norm"},
      {"attn_q", "self_attn.q_proj"},      {"attn_k", "self_attn.k_proj"},
      {"attn_v", "self_attn.v_proj"},      {"attn_output", "self_attn.o_proj"},
      {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
      {"ffn_down", "mlp.down_proj"}};
  if (name == "token_embd.weight") return "model.embed_tokens.weight";
  if (name == "output_norm.weight") return "model.norm.weight";
  if (name == "output.weight") return "lm_head.weight";
  const size_t layer_end = name.find('.', 4);
  const size_t suffix = name.rfind('.');
  const std::string part(name.substr(layer_end + 1, suffix - layer_end - 1));
  return "model.layers." + std::string(name.substr(4, layer_end - 4)) + "." +
         (names.contains(part) ? names.at(part) : kParts.at(part)) +
         std::string(name.substr(suffix));
}

/// Rows of each head: 0, 2, 4, …, 1, 3, 5, … of the GGUF file's.
inline std::string uninterleaved(const TensorInfo& tensor, size_t heads) {
  const auto rows = static_cast<size_t>(tensor.dims[1]);
  const size_t row = tensor.bytes / rows;
  const size_t head = rows / heads;
  std::string out;
  for (size_t h = 0; h < heads; ++h)
    for (size_t parity = 0; parity < 2; ++parity)
      for (size_t i = 0; i < head / 2; ++i)
        out.append(reinterpret_cast<const char*>(tensor.data) + (h * head + 2 * i + parity) * row,
                   row);
  return out;
}

inline void write_shard(const std::filesystem::path& path,
                        const std::vector<FolderTensor>& tensors) {
  static const std::map<DType, std::string> kTypes = {
      {DType::kF32, "F32"}, {DType::kF16, "F16"}, {DType::kBF16, "BF16"}};
  Json header = Json::object();
  header["__metadata__"] = {{"format", "pt"}};
  size_t at = 0;
  for (const FolderTensor& tensor : tensors) {
    header[tensor.name] = {{"dtype", kTypes.at(tensor.dtype)},
                           {"shape", tensor.shape},
                           {"data_offsets", {at, at + tensor.data.size()}}};
    at += tensor.data.size();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(&length), sizeof(length));
  out << text;
  for (const FolderTensor& tensor : tensors) out << tensor.data;
  if (!out.flush()) throw std::runtime_error("cannot write " + path.string());
}

/// The tensors of the folder: experts one by one, rows and norms as the options say.
inline std::vector<FolderTensor> folder_tensors(const ModelFile& gguf,
                                                const FolderOptions& options) {
  const Metadata& m = gguf.metadata();
  const std::string arch(m.string("general.architecture").value());
  const bool interleaved = arch == "llama" || arch == "granite" || arch == "smollm3";
  std::vector<FolderTensor> out;
  for (const TensorInfo& tensor : gguf.tensors()) {
    if (tensor.name.starts_with("rope_")) continue;  // follows from config.json
    const bool is_q = tensor.name.ends_with("attn_q.weight");
    const bool is_k = tensor.name.ends_with("attn_k.weight");
    std::string data(reinterpret_cast<const char*>(tensor.data), tensor.bytes);
    if (interleaved && options.halves && (is_q || is_k))
      data = uninterleaved(
          tensor,
          m.u32(arch + (is_q ? ".attention.head_count" : ".attention.head_count_kv")).value());
    if (options.norms_lack_one && tensor.name.ends_with("norm.weight"))
      for (size_t at = 0; at < data.size(); at += sizeof(float)) {
        float value;
        std::memcpy(&value, data.data() + at, sizeof(value));
        value -= 1.0F;
        std::memcpy(data.data() + at, &value, sizeof(value));
      }
    std::vector<int64_t> shape(tensor.dims.begin(), tensor.dims.begin() + tensor.num_dims);
    std::ranges::reverse(shape);
    const std::string name = folder_tensor_name(tensor.name, options.names);
    const size_t star = name.find('*');
    if (star == std::string::npos) {
      out.push_back({name, tensor.dtype, shape, std::move(data)});
      continue;
    }
    const size_t bytes = data.size() / static_cast<size_t>(shape[0]);
    for (size_t e = 0; e < static_cast<size_t>(shape[0]); ++e)
      out.push_back({std::string(name).replace(star, 1, std::to_string(e)),
                     tensor.dtype,
                     {shape[1], shape[2]},
                     data.substr(e * bytes, bytes)});
  }
  return out;
}

inline void write_json(const std::filesystem::path& path, const Json& json) {
  std::ofstream(path, std::ios::binary) << json.dump(2);
}

inline Json folder_config(const ModelFile& model) {
  const Metadata& m = model.metadata();
  const std::string arch(m.string("general.architecture").value());
  const auto number = [&](const std::string& key) { return m.u32(arch + "." + key).value(); };
  Json config = {{"model_type", arch},
                 {"hidden_act", "silu"},
                 {"vocab_size", model.find_tensor("token_embd.weight")->dims[1]},
                 {"hidden_size", number("embedding_length")},
                 {"intermediate_size", number("feed_forward_length")},
                 {"num_hidden_layers", number("block_count")},
                 {"num_attention_heads", number("attention.head_count")},
                 {"num_key_value_heads", number("attention.head_count_kv")},
                 {"max_position_embeddings", number("context_length")},
                 {"rope_scaling", nullptr},
                 {"sliding_window", nullptr}};
  if (m.contains(arch + ".attention.key_length"))
    config["head_dim"] = number("attention.key_length");
  config["rms_norm_eps"] = m.f32(arch + ".attention.layer_norm_rms_epsilon").value();
  config["rope_theta"] = m.f32_or(arch + ".rope.freq_base", 10000.0F).value();
  config["tie_word_embeddings"] = model.find_tensor("output.weight") == nullptr;
  return config;
}

/// tokenizer.json of a byte-level vocabulary, or of a SentencePiece one with the merges that its
/// scores stand for.
inline Json folder_tokenizer(const Metadata& m) {
  const auto texts = m.strings("tokenizer.ggml.tokens").value();
  const auto types = m.i32s("tokenizer.ggml.token_type").value();
  const bool byte_level = m.string("tokenizer.ggml.model").value() == "gpt2";
  Json vocab = Json::object();
  Json added = Json::array();
  for (size_t id = 0; id < texts.size(); ++id) {
    const std::string text(texts[id]);
    vocab[text] = id;
    if (types[id] == 2 || types[id] == 3)
      added.push_back({{"id", id}, {"content", text}, {"special", true}, {"lstrip", false}});
  }
  Json merges = Json::array();
  Json out = {{"version", "1.0"}, {"added_tokens", added}};
  if (byte_level) {
    const auto lines = m.strings("tokenizer.ggml.merges").value();
    for (const std::string_view line : lines) {
      const size_t blank = line.find(' ');
      merges.push_back({line.substr(0, blank), line.substr(blank + 1)});
    }
    const std::string qwen2 =
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    const bool is_qwen2 = m.string("tokenizer.ggml.pre").value() == "qwen2";
    Json split = {{"type", "Split"},
                  {"pattern", {{"Regex", qwen2}}},
                  {"behavior", "Isolated"},
                  {"invert", false}};
    Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", !is_qwen2}};
    out["normalizer"] = is_qwen2 ? Json{{"type", "NFC"}} : Json(nullptr);
    out["pre_tokenizer"] =
        is_qwen2 ? Json{{"type", "Sequence"}, {"pretokenizers", Json::array({split, bytes})}}
                 : bytes;
  } else {
    const auto scores = m.f32s("tokenizer.ggml.scores").value();
    std::vector<std::pair<float, std::string>> lines;
    for (size_t id = 259; id < texts.size(); ++id)
      for (size_t cut = 1; cut < texts[id].size(); ++cut) {
        const std::string left(texts[id].substr(0, cut));
        const std::string right(texts[id].substr(cut));
        const bool is_character = (static_cast<uint8_t>(right[0]) & 0xC0) != 0x80;
        if (is_character && vocab.contains(left) && vocab.contains(right))
          lines.emplace_back(-scores[id], left + " " + right);
      }
    std::ranges::sort(lines);
    for (const auto& [score, line] : lines) merges.push_back(line);
    const std::string blank = "\xE2\x96\x81";
    out["normalizer"] = {
        {"type", "Sequence"},
        {"normalizers",
         Json::array({{{"type", "Prepend"}, {"prepend", blank}},
                      {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", blank}}})}};
    out["pre_tokenizer"] = nullptr;
    out["post_processor"] = {
        {"type", "TemplateProcessing"},
        {"single", Json::array({{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}},
                                {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}})}};
  }
  out["model"] = {{"type", "BPE"},
                  {"dropout", nullptr},
                  {"unk_token", byte_level ? Json(nullptr) : Json("<unk>")},
                  {"byte_fallback", !byte_level},
                  {"ignore_merges", false},
                  {"vocab", vocab},
                  {"merges", merges}};
  return out;
}

/// Writes the folder of an opened file.
inline void write_folder(const ModelFile& gguf, const std::filesystem::path& folder,
                         const FolderOptions& options = {}) {
  std::filesystem::create_directories(folder);
  const Metadata& m = gguf.metadata();
  Json config = folder_config(gguf);
  if (!options.model_type.empty()) config["model_type"] = options.model_type;
  config.merge_patch(options.config);
  write_json(folder / "config.json", config);
  write_json(folder / "tokenizer.json", folder_tokenizer(m));
  const auto texts = m.strings("tokenizer.ggml.tokens").value();
  Json tokenizer = {
      {"bos_token", texts[m.u32("tokenizer.ggml.bos_token_id").value()]},
      {"eos_token", {{"content", texts[m.u32("tokenizer.ggml.eos_token_id").value()]}}},
      {"model_max_length", 1000000000000000019884624838656.0},
      {"clean_up_tokenization_spaces", false}};
  if (!options.chat_template.empty()) tokenizer["chat_template"] = options.chat_template;
  write_json(folder / "tokenizer_config.json", tokenizer);

  std::vector<std::vector<FolderTensor>> shards(options.shards);
  size_t index = 0;
  for (FolderTensor& tensor : folder_tensors(gguf, options))
    shards[index++ % options.shards].push_back(std::move(tensor));
  if (options.shards == 1) return write_shard(folder / "model.safetensors", shards[0]);
  Json map = Json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    char name[64];
    std::snprintf(name, sizeof(name), "model-%05zu-of-%05zu.safetensors", i + 1, shards.size());
    write_shard(folder / name, shards[i]);
    for (const FolderTensor& tensor : shards[i]) map[tensor.name] = name;
  }
  write_json(folder / "model.safetensors.index.json",
             {{"metadata", {{"total_size", 0}}}, {"weight_map", map}});
}

}  // namespace hearth::testing
