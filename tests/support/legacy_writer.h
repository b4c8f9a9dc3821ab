#pragma once
// Writes the containers of 2023 (see engine/legacy/legacy_parser.h) from an opened GGUF file of a
// LLaMA model: the same values.

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "engine/gguf/model_file.h"
#include "kernels/quant/half.h"

namespace hearth::testing {

/// "ggml" (version 0), "ggmf" 1, "ggjt" 1 to 3.
struct LegacyKind {
  std::string name;
  uint32_t version = 0;
};

template <typename T>
void append_value(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

inline std::string legacy_name(std::string name) {
  const auto replace = [&](std::string_view from, std::string_view to) {
    const size_t at = name.find(from);
    if (at != std::string::npos) name.replace(at, from.size(), to);
  };
  replace("token_embd", "tok_embeddings");
  replace("output_norm", "norm");
  replace("blk.", "layers.");
  replace("attn_norm", "attention_norm");
  for (const char* part : {"q", "k", "v"})
    replace(std::string("attn_") + part + ".", std::string("attention.w") + part + ".");
  replace("attn_output", "attention.wo");
  replace("ffn_gate", "feed_forward.w1");
  replace("ffn_down", "feed_forward.w2");
  replace("ffn_up", "feed_forward.w3");
  return name;
}

/// Token texts as these containers have them: blanks, bytes, nothing for BOS and EOS.
inline std::string legacy_token(std::string_view text, size_t id) {
  if (id == 1 || id == 2) return "";
  if (id >= 3 && id < 259) return std::string(1, static_cast<char>(id - 3));
  std::string out(text);
  for (size_t at; (at = out.find("\xE2\x96\x81")) != std::string::npos;) out.replace(at, 3, " ");
  return out;
}

inline float f16_value(const char* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof(bits));
  return f16_to_f32(bits);
}

/// Half-bytes of values j and j + 16 in one byte, as those of 2 j and 2 j + 1.
inline std::string neighbour_nibbles(std::string_view packed) {
  const auto value = [&](int i) {
    return (packed[static_cast<size_t>(i % 16)] >> (i < 16 ? 0 : 4)) & 15;
  };
  std::string out;
  for (int j = 0; j < 16; ++j) out += static_cast<char>(value(2 * j) | (value(2 * j + 1) << 4));
  return out;
}

/// The tensor's blocks as the containers before ggjt 3 have them: the same values.
inline std::string old_blocks(const TensorInfo& tensor, bool pairs) {
  const DTypeInfo& type = dtype_info(tensor.dtype);
  const bool has_min = tensor.dtype == DType::kQ4_1;
  const size_t head = has_min ? 4 : 2;
  std::string out;
  for (size_t at = 0; at < tensor.bytes; at += type.block_bytes) {
    const auto* block = reinterpret_cast<const char*>(tensor.data) + at;
    append_value(out, f16_value(block));
    if (has_min) append_value(out, f16_value(block + 2));
    const std::string_view codes(block + head, type.block_bytes - head);
    out += pairs && tensor.dtype != DType::kQ8_0 ? neighbour_nibbles(codes) : std::string(codes);
  }
  return out;
}

inline std::string legacy_bytes(const ModelFile& model, const LegacyKind& kind) {
  const Metadata& m = model.metadata();
  const auto texts = m.strings("tokenizer.ggml.tokens").value();
  const auto scores = m.f32s("tokenizer.ggml.scores").value();
  const uint32_t head_dim =
      m.u32("llama.embedding_length").value() / m.u32("llama.attention.head_count").value();
  std::string out = kind.name == "ggml" ? "lmgg" : kind.name == "ggmf" ? "fmgg" : "tjgg";
  if (kind.version > 0) append_value(out, kind.version);
  for (const uint32_t value :
       {static_cast<uint32_t>(texts.size()), m.u32("llama.embedding_length").value(), 32U,
        m.u32("llama.attention.head_count").value(), m.u32("llama.block_count").value(), head_dim,
        0U})
    append_value(out, value);
  for (size_t id = 0; id < texts.size(); ++id) {
    const std::string text = legacy_token(texts[id], id);
    append_value(out, static_cast<uint32_t>(text.size()));
    out += text;
    if (kind.version > 0) append_value(out, scores[id]);
  }
  for (const TensorInfo& tensor : model.tensors()) {
    const std::string name = legacy_name(std::string(tensor.name));
    append_value(out, tensor.num_dims);
    append_value(out, static_cast<uint32_t>(name.size()));
    append_value(out, static_cast<uint32_t>(tensor.dtype));
    for (uint32_t d = 0; d < tensor.num_dims; ++d)
      append_value(out, static_cast<uint32_t>(tensor.dims[d]));
    out += name;
    if (kind.name == "ggjt") out.resize((out.size() + 31) / 32 * 32);
    const bool is_old = kind.name != "ggjt" || kind.version < 3;
    const bool has_old_blocks = tensor.dtype == DType::kQ4_0 || tensor.dtype == DType::kQ4_1 ||
                                tensor.dtype == DType::kQ8_0;
    if (is_old && has_old_blocks)
      out += old_blocks(tensor, kind.name != "ggjt" || kind.version < 2);
    else
      out.append(reinterpret_cast<const char*>(tensor.data), tensor.bytes);
  }
  return out;
}

inline void write_file(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) throw std::runtime_error("cannot write " + path.string());
}

}  // namespace hearth::testing
