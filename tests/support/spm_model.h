#pragma once
// Synthetic LLaMA models as they were in 2023: a SentencePiece vocabulary, no grouped queries,
// epsilon 1e-6.

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/gguf/model_file.h"
#include "engine/synth/gguf_writer.h"
#include "tests/support/temp_model.h"

namespace hearth::testing {

/// <unk>, <s>, </s>, 256 bytes, and pieces of English words that grow one letter at a time; scores
/// in order of ids, but for one that is better than its id.
inline void add_spm_vocabulary(GgufWriter& writer, size_t size) {
  std::vector<std::string> texts = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {2, 3, 3};
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof(name), "<0x%02X>", byte);
    texts.emplace_back(name);
    types.push_back(6);
  }
  const std::string blank = "\xE2\x96\x81";
  for (const char* word : {"the", "time", "other", "of", "blanks", "two", "and", "in"}) {
    for (size_t length = 1; length <= std::string(word).size(); ++length) {
      for (const std::string& text :
           {std::string(word).substr(0, length), blank + std::string(word).substr(0, length)}) {
        if (std::ranges::find(texts, text) != texts.end()) continue;
        texts.push_back(text);
        types.push_back(1);
      }
    }
  }
  for (const std::string& text : {blank, blank + blank, std::string("er"), std::string("caf")}) {
    texts.push_back(text);
    types.push_back(1);
  }
  while (texts.size() < size) {
    texts.push_back("unused" + std::to_string(texts.size()));
    types.push_back(1);
  }
  std::vector<float> scores(texts.size());
  for (size_t id = 259; id < scores.size(); ++id) scores[id] = -static_cast<float>(id - 259);
  scores[300] = -0.5F;
  writer.add_string("tokenizer.ggml.model", "llama");
  writer.add_strings("tokenizer.ggml.tokens", texts);
  writer.add_f32s("tokenizer.ggml.scores", scores);
  writer.add_i32s("tokenizer.ggml.token_type", types);
  writer.add_u32("tokenizer.ggml.bos_token_id", 1);
  writer.add_u32("tokenizer.ggml.eos_token_id", 2);
  writer.add_u32("tokenizer.ggml.unknown_token_id", 0);
}

/// Copies every tensor of `model` to `writer`; both must live until it has written.
inline void copy_tensors(const ModelFile& model, GgufWriter& writer) {
  for (const TensorInfo& tensor : model.tensors()) {
    const std::vector<int64_t> dims(tensor.dims.begin(), tensor.dims.begin() + tensor.num_dims);
    const size_t row = row_bytes(tensor.dtype, tensor.dims[0]);
    writer.add_tensor(tensor.name, tensor.dtype, dims,
                      [data = tensor.data, row](int64_t first, std::span<std::byte> out) {
                        std::memcpy(out.data(), data + static_cast<size_t>(first) * row,
                                    out.size());
                      });
  }
}

/// The path of such a model with matrices of `type`; written on first use.
inline std::filesystem::path spm_model(const std::string& type) {
  const std::filesystem::path folder = tiny_model("llama", "f32").parent_path();
  const std::filesystem::path source = folder / ("source-" + type + ".gguf");
  const std::filesystem::path path = folder / ("spm-" + type + ".gguf");
  if (std::filesystem::exists(path)) return path;
  SynthOptions options = synth_preset("tiny", "llama", type).value();
  options.num_kv_heads = options.num_heads;
  options.head_dim = options.hidden_size / options.num_heads;
  const Status synthesized = write_synthetic_model(options, source);
  if (!synthesized.has_value()) throw std::runtime_error(synthesized.error().message);
  const auto model = ModelFile::open(source);
  if (!model.has_value()) throw std::runtime_error(model.error().message);
  GgufWriter writer;
  for (const auto& [key, value] : (*model)->metadata().entries()) {
    if (key.starts_with("tokenizer.") || key.ends_with("epsilon")) continue;
    writer.add_value(key, value);
  }
  writer.add_f32("llama.attention.layer_norm_rms_epsilon", 1e-6F);
  add_spm_vocabulary(writer,
                     static_cast<size_t>((*model)->find_tensor("token_embd.weight")->dims[1]));
  copy_tensors(**model, writer);
  const Status written = writer.write(path);
  if (!written.has_value()) throw std::runtime_error(written.error().message);
  return path;
}

}  // namespace hearth::testing
