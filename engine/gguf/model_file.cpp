#include "engine/gguf/model_file.h"

#include <algorithm>
#include <iterator>
#include <system_error>
#include <utility>

#include "engine/gguf/gguf_parser.h"
#include "engine/gguf/mapped_file.h"
#include "engine/gguf/quote.h"
#include "engine/gguf/split_name.h"
#include "engine/legacy/legacy_parser.h"
#include "engine/safetensors/safetensors_folder.h"

namespace hearth {
namespace {

/// The keys by which a part says where it belongs.
struct SplitKeys {
  uint32_t no = 0;     // from 0
  uint32_t count = 1;  // 1: not split
  uint32_t tensors = 0;
};

Result<SplitKeys> read_split_keys(const Metadata& metadata) {
  SplitKeys keys;
  HEARTH_ASSIGN_OR_RETURN(keys.count, metadata.u32_or("split.count", 1));
  HEARTH_ASSIGN_OR_RETURN(keys.no, metadata.u32_or("split.no", 0));
  HEARTH_ASSIGN_OR_RETURN(keys.tensors, metadata.u32_or("split.tensors.count", 0));
  return keys;
}

std::unexpected<Error> malformed(const std::filesystem::path& file, const std::string& what) {
  return fail(ErrorCode::kMalformed, quote_foreign(file.string()) + ": " + what);
}

}  // namespace

/// Fills a ModelFile part by part.
class ModelFileBuilder {
 public:
  explicit ModelFileBuilder(const std::filesystem::path& path)
      : path_(path), model_(new ModelFile()) {
    model_->path_ = path;
  }

  Result<std::unique_ptr<ModelFile>> build() {
    std::error_code error;
    HEARTH_RETURN_IF_ERROR(std::filesystem::is_directory(path_, error) ? add_folder()
                                                                       : add_files());
    HEARTH_RETURN_IF_ERROR(index_tensors());
    HEARTH_RETURN_IF_ERROR(check_overlaps());
    return std::move(model_);
  }

 private:
  Status add_folder() {
    HEARTH_ASSIGN_OR_RETURN(SafetensorsModel folder, read_safetensors_folder(path_));
    add_parsed(std::move(folder.parsed));
    model_->parts_ = std::move(folder.shards);
    return {};
  }

  Status add_files() {
    HEARTH_ASSIGN_OR_RETURN(const SplitKeys keys, add_part(path_));
    if (keys.count != 1 || keys.no != 0) HEARTH_RETURN_IF_ERROR(add_other_parts(keys));
    if (keys.tensors != 0 && keys.tensors != model_->tensors_.size())
      return malformed(path_, "split.tensors.count: " + std::to_string(keys.tensors) +
                                  ", expected the " + std::to_string(model_->tensors_.size()) +
                                  " tensors of all parts");
    return {};
  }

  /// Maps and parses one file.
  Result<SplitKeys> add_part(const std::filesystem::path& file) {
    HEARTH_ASSIGN_OR_RETURN(auto mapping, MappedFile::open(file));
    const auto bytes = mapping->bytes();
    HEARTH_ASSIGN_OR_RETURN(ParsedFile parsed, is_legacy_file(bytes)
                                                   ? parse_legacy(file.string(), bytes)
                                                   : parse_gguf(file.string(), bytes));
    HEARTH_ASSIGN_OR_RETURN(const SplitKeys keys, read_split_keys(parsed.metadata));
    add_parsed(std::move(parsed));
    model_->parts_.push_back(std::move(mapping));
    return keys;
  }

  /// The first file gives format, version and metadata.
  void add_parsed(ParsedFile parsed) {
    if (model_->format_.empty()) {
      model_->format_ = std::move(parsed.format);
      model_->version_ = parsed.version;
      model_->metadata_ = std::move(parsed.metadata);
    }
    model_->tensors_.insert(model_->tensors_.end(), parsed.tensors.begin(), parsed.tensors.end());
    model_->copies_.insert(model_->copies_.end(), std::make_move_iterator(parsed.copies.begin()),
                           std::make_move_iterator(parsed.copies.end()));
  }

  Status add_other_parts(const SplitKeys& first) {
    const auto name = parse_split_name(path_.filename().string());
    if (first.count == 0 || first.no >= first.count)
      return malformed(path_, "split.no: " + std::to_string(first.no) + " of split.count " +
                                  std::to_string(first.count) + ", expected less than the count");
    if (!name || name->count != first.count || name->number != first.no + 1)
      return malformed(path_, "file name: expected to end in '" +
                                  split_part_name("", first.no + 1, first.count) +
                                  "', as split.no and split.count say");
    if (first.no != 0)
      return fail(ErrorCode::kInvalidArgument,
                  quote_foreign(path_.string()) + ": split.no: " + std::to_string(first.no) +
                      ", expected 0: open the first part, " +
                      quote_foreign(split_part_name(name->prefix, 1, first.count)));
    HEARTH_RETURN_IF_ERROR(check_present(name->prefix, first.count));
    for (uint32_t number = 2; number <= first.count; ++number) {
      const std::filesystem::path file =
          path_.parent_path() / split_part_name(name->prefix, number, first.count);
      HEARTH_ASSIGN_OR_RETURN(const SplitKeys keys, add_part(file));
      if (keys.no != number - 1 || keys.count != first.count)
        return malformed(file, "split.no, split.count: " + std::to_string(keys.no) + ", " +
                                   std::to_string(keys.count) + ", expected " +
                                   std::to_string(number - 1) + ", " + std::to_string(first.count));
    }
    return {};
  }

  /// Names all missing parts at once, so that the user fetches them in one go.
  Status check_present(const std::string& prefix, uint32_t count) {
    constexpr size_t kNamed = 8;  // keeps the message on one readable line
    std::string names;
    size_t missing = 0;
    for (uint32_t number = 2; number <= count; ++number) {
      const std::string part = split_part_name(prefix, number, count);
      std::error_code error;
      if (std::filesystem::exists(path_.parent_path() / part, error)) continue;
      if (++missing <= kNamed) names += (names.empty() ? "" : ", ") + quote_foreign(part);
    }
    if (missing == 0) return {};
    if (missing > kNamed) names += " and " + std::to_string(missing - kNamed) + " more";
    return fail(ErrorCode::kNotFound, quote_foreign(path_.string()) + ": split.count: " +
                                          std::to_string(count) + ", missing beside it: " + names);
  }

  Status index_tensors() {
    model_->tensor_index_.reserve(model_->tensors_.size());
    for (size_t i = 0; i < model_->tensors_.size(); ++i) {
      const std::string_view name = model_->tensors_[i].name;
      if (!model_->tensor_index_.emplace(name, i).second)
        return malformed(path_, "tensor " + quote_foreign(name) + ": appears twice, expected once");
    }
    return {};
  }

  /// Mappings do not overlap, so one order by address covers all parts.
  Status check_overlaps() {
    std::vector<const TensorInfo*> order;
    order.reserve(model_->tensors_.size());
    for (const TensorInfo& tensor : model_->tensors_) order.push_back(&tensor);
    std::ranges::sort(order, {}, [](const TensorInfo* t) { return t->data; });
    for (size_t i = 1; i < order.size(); ++i)
      if (order[i - 1]->data + order[i - 1]->bytes > order[i]->data)
        return malformed(
            path_, "tensor " + quote_foreign(order[i]->name) + ": offset lies inside tensor " +
                       quote_foreign(order[i - 1]->name) + ", expected data of its own");
    return {};
  }

  const std::filesystem::path path_;
  std::unique_ptr<ModelFile> model_;
};

Result<std::unique_ptr<ModelFile>> ModelFile::open(const std::filesystem::path& path) {
  // A folder's last character may be a slash; its name is the model's.
  return ModelFileBuilder(path.has_filename() ? path : path.parent_path()).build();
}

ModelFile::ModelFile() = default;
ModelFile::~ModelFile() = default;

const TensorInfo* ModelFile::find_tensor(std::string_view name) const {
  const auto it = tensor_index_.find(name);
  return it == tensor_index_.end() ? nullptr : &tensors_[it->second];
}

size_t ModelFile::mapped_bytes() const {
  size_t sum = 0;
  for (const auto& part : parts_) sum += part->bytes().size();
  return sum;
}

std::vector<uint64_t> ModelFile::identity() const {
  std::vector<uint64_t> out;
  for (const auto& part : parts_)
    out.insert(out.end(), part->identity().begin(), part->identity().end());
  return out;
}

std::vector<std::span<const std::byte>> ModelFile::mappings() const {
  std::vector<std::span<const std::byte>> out;
  out.reserve(parts_.size());
  for (const auto& part : parts_) out.push_back(part->bytes());
  return out;
}

}  // namespace hearth
