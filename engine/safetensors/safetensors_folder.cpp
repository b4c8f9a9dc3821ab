#include "engine/safetensors/safetensors_folder.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "engine/gguf/quote.h"
#include "engine/safetensors/config_translator.h"
#include "engine/safetensors/json_reader.h"
#include "engine/safetensors/safetensors_header.h"
#include "engine/safetensors/tokenizer_translator.h"
#include "kernels/quant/half.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

// Real ones have some KiB (tokenizer.json apart); larger ones are mistakes.
constexpr size_t kMaxConfigBytes = 16U << 20;
constexpr size_t kMaxTokenizerBytes = 512U << 20;
constexpr size_t kMaxShards = 4096;

bool is_present(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

/// A mapped text file, refused over `max_bytes`.
Result<std::unique_ptr<MappedFile>> map_text(const fs::path& path, size_t max_bytes) {
  HEARTH_ASSIGN_OR_RETURN(auto mapping, MappedFile::open(path));
  if (mapping->bytes().size() > max_bytes)
    return fail(ErrorCode::kTooLarge, quote_foreign(path.string()) +
                                          ": size: " + std::to_string(mapping->bytes().size()) +
                                          " bytes, expected at most " + std::to_string(max_bytes));
  return mapping;
}

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

/// A JSON object, flattened but for the member `skipped`; empty if the file is not there and need
/// not be.
Result<Metadata> read_flat(const fs::path& path, bool required, std::string_view skipped = {}) {
  Metadata out;
  const std::string name = quote_foreign(path.string());
  out.set_source(name);
  if (!required && !is_present(path)) return out;
  HEARTH_ASSIGN_OR_RETURN(const auto file, map_text(path, kMaxConfigBytes));
  JsonReader reader(name, text_of(*file));
  HEARTH_RETURN_IF_ERROR(reader.object([&](std::string_view key) {
    return !skipped.empty() && key == skipped ? reader.skip() : reader.flatten(out);
  }));
  HEARTH_RETURN_IF_ERROR(reader.end());
  return out;
}

/// Adds 1 to the values of a vector, in a copy. What is no vector stays, for the loader to refuse.
void add_one(TensorInfo& tensor, TensorCopies& copies) {
  if (tensor.num_dims != 1 || tensor.dtype != DType::kF32) return;
  const auto count = static_cast<size_t>(tensor.dims[0]);
  auto values = std::make_unique_for_overwrite<float[]>(count);
  for (size_t i = 0; i < count; ++i)
    values[i] = 1.0F + value_at<float>(tensor.data, static_cast<int64_t>(i));
  tensor.data = reinterpret_cast<const std::byte*>(values.get());
  copies.push_back(std::move(values));
}

class FolderReader {
 public:
  explicit FolderReader(fs::path folder) : folder_(std::move(folder)) {}

  Result<SafetensorsModel> read() {
    HEARTH_RETURN_IF_ERROR(check_kind());
    out_.parsed.format = "safetensors";
    out_.parsed.metadata.set_source(quote_foreign(folder_.string()));
    HEARTH_ASSIGN_OR_RETURN(const Metadata config, read_flat(folder_ / "config.json", true));
    HEARTH_ASSIGN_OR_RETURN(model_, find_known_model(config));
    HEARTH_RETURN_IF_ERROR(translate_config(config, *model_, out_.parsed));
    HEARTH_RETURN_IF_ERROR(read_weights(config));
    HEARTH_RETURN_IF_ERROR(read_tokenizer(config));
    return std::move(out_);
  }

 private:
  /// Says what the folder holds instead, where that can be told.
  Status check_kind() const {
    if (is_present(folder_ / "config.json") &&
        (is_present(folder_ / "model.safetensors") || is_present(folder_ / kIndex)))
      return {};
    std::string found;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder_, error)) {
      const std::string name = entry.path().filename().string();
      if (name.ends_with(".gguf"))
        found = "; it holds " + quote_foreign(name) + ": serve that file";
      if (found.empty() && name.starts_with("pytorch_model"))
        found = "; its PyTorch weights are not read: save the model as safetensors";
    }
    return fail(ErrorCode::kNotFound,
                quote_foreign(folder_.string()) +
                    ": a folder, expected config.json and model.safetensors (or " + kIndex +
                    ") in it" + found);
  }

  Status read_weights(const Metadata& config) {
    HEARTH_ASSIGN_OR_RETURN(const bool is_tied, config.bool_or("tie_word_embeddings", false));
    if (is_present(folder_ / "model.safetensors")) return add_shard("model.safetensors", is_tied);
    std::map<std::string, std::string> places;  // tensor to shard
    HEARTH_RETURN_IF_ERROR(read_index(places));
    std::set<std::string> shards;
    for (const auto& [tensor, shard] : places) shards.insert(shard);
    if (shards.size() > kMaxShards)
      return index_error(std::to_string(shards.size()) + " shards, expected at most " +
                         std::to_string(kMaxShards));
    for (const std::string& shard : shards) HEARTH_RETURN_IF_ERROR(add_shard(shard, is_tied));
    for (const auto& [tensor, shard] : places) {
      const auto found = shard_of_.find(tensor);
      if (found == shard_of_.end() || found->second != shard)
        return index_error("tensor " + quote_foreign(tensor) + " is not in " +
                           quote_foreign(shard));
    }
    return {};
  }

  std::unexpected<Error> index_error(const std::string& what) const {
    return fail(ErrorCode::kMalformed, quote_foreign((folder_ / kIndex).string()) + ": " + what);
  }

  /// {"weight_map": {"TENSOR": "model-00001-of-00002.safetensors", …}}
  Status read_index(std::map<std::string, std::string>& places) const {
    const fs::path path = folder_ / kIndex;
    HEARTH_ASSIGN_OR_RETURN(const auto file, map_text(path, kMaxConfigBytes));
    JsonReader reader(quote_foreign(path.string()), text_of(*file));
    HEARTH_RETURN_IF_ERROR(reader.object([&](std::string_view member) -> Status {
      if (member != "weight_map") return reader.skip();
      return reader.object([&](std::string_view tensor) -> Status {
        HEARTH_ASSIGN_OR_RETURN(const std::string_view shard, reader.string());
        // A plain name: the index may not reach outside of the folder.
        if (!shard.ends_with(".safetensors") || shard.find('/') != std::string_view::npos)
          return reader.wrong(quote_foreign(shard), "the name of a .safetensors file beside");
        places.emplace(tensor, shard);
        return {};
      });
    }));
    HEARTH_RETURN_IF_ERROR(reader.end());
    if (places.empty()) return index_error("weight_map: empty or absent, expected tensors");
    return {};
  }

  Status add_shard(const std::string& name, bool is_tied) {
    const fs::path path = folder_ / name;
    HEARTH_ASSIGN_OR_RETURN(auto mapping, MappedFile::open(path));
    ParsedFile& parsed = out_.parsed;
    HEARTH_ASSIGN_OR_RETURN(const auto tensors,
                            parse_safetensors(path.string(), mapping->bytes(), parsed.metadata));
    for (TensorInfo tensor : tensors) {
      shard_of_.emplace(tensor.name, name);
      std::string gguf_name = gguf_name_of_safetensors(*model_, tensor.name);
      // Where the config ties the two, a stored output matrix does not count.
      if (gguf_name.empty() || (is_tied && gguf_name == "output.weight")) continue;
      tensor.name = parsed.metadata.keep(std::move(gguf_name));
      copy_vector_if_needed(tensor, parsed.copies);
      if (model_->norms_lack_one && tensor.name.ends_with("norm.weight"))
        add_one(tensor, parsed.copies);
      parsed.tensors.push_back(tensor);
    }
    out_.shards.push_back(std::move(mapping));
    return {};
  }

  Status read_tokenizer(const Metadata& config) {
    const fs::path path = folder_ / "tokenizer.json";
    HEARTH_ASSIGN_OR_RETURN(const auto file, map_text(path, kMaxTokenizerBytes));
    // The descriptions of added tokens are in tokenizer.json too.
    HEARTH_ASSIGN_OR_RETURN(const Metadata tokenizer, read_flat(folder_ / "tokenizer_config.json",
                                                                false, "added_tokens_decoder"));
    HEARTH_ASSIGN_OR_RETURN(const Metadata generation,
                            read_flat(folder_ / "generation_config.json", false));
    HEARTH_RETURN_IF_ERROR(translate_tokenizer(quote_foreign(path.string()), text_of(*file),
                                               {config, tokenizer, generation},
                                               out_.parsed.metadata));
    return read_chat_template(tokenizer);
  }

  /// A file of its own, else what tokenizer_config.json has: a text, or several with names.
  Status read_chat_template(const Metadata& tokenizer) {
    std::string_view source;
    if (const fs::path path = folder_ / "chat_template.jinja"; is_present(path)) {
      HEARTH_ASSIGN_OR_RETURN(const auto file, map_text(path, kMaxConfigBytes));
      source = out_.parsed.metadata.keep(std::string(text_of(*file)));
    } else {
      std::string key = "chat_template";
      const auto* count = std::get_if<uint64_t>(tokenizer.find("chat_template[]"));
      for (uint64_t i = 0; count != nullptr && i < *count; ++i) {
        const std::string item = "chat_template[" + std::to_string(i) + "]";
        HEARTH_ASSIGN_OR_RETURN(const auto name, tokenizer.string_or(item + ".name", ""));
        if (name == "default") key = item + ".template";
      }
      if (!tokenizer.contains(key)) return {};
      HEARTH_ASSIGN_OR_RETURN(const std::string_view text, tokenizer.string(key));
      source = out_.parsed.metadata.keep(std::string(text));
    }
    out_.parsed.metadata.insert("tokenizer.chat_template", source);
    return {};
  }

  static constexpr const char* kIndex = "model.safetensors.index.json";

  fs::path folder_;
  const KnownModel* model_ = nullptr;
  SafetensorsModel out_;
  std::unordered_map<std::string_view, std::string> shard_of_;
};

}  // namespace

Result<SafetensorsModel> read_safetensors_folder(const fs::path& folder) {
  return FolderReader(folder).read();
}

}  // namespace hearth
