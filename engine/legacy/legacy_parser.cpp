#include "engine/legacy/legacy_parser.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <utility>

#include "base/checked_math.h"
#include "engine/gguf/byte_reader.h"
#include "engine/gguf/tensor_type_names.h"
#include "engine/legacy/legacy_names.h"
#include "engine/legacy/legacy_types.h"
#include "engine/legacy/legacy_vocabulary.h"

namespace hearth {
namespace {

constexpr uint64_t kTensorAlignment = 32;
constexpr uint64_t kMinTensorBytes = 4 + 4 + 4 + 4 + 1;
constexpr uint64_t kMaxNameBytes = 64;
constexpr uint32_t kMaxDims = 2;
// Far above the largest model of these containers (80 layers), and enough to bound messages.
constexpr uint32_t kMaxLayers = 4096;

constexpr const char* kAdvice =
    "convert the model's original weights to GGUF, or serve their safetensors folder";

/// Magic, name and newest version of a container; 0: it has none.
struct Container {
  std::string_view magic;  // as the bytes lie
  LegacyContainer kind;
  const char* name;
  uint32_t versions;
};

constexpr std::array<Container, 3> kContainers = {{
    {"lmgg", LegacyContainer::kGgml, "ggml", 0},
    {"fmgg", LegacyContainer::kGgmf, "ggmf", 1},
    {"tjgg", LegacyContainer::kGgjt, "ggjt", 3},
}};

const Container* find_container(std::span<const std::byte> bytes) {
  if (bytes.size() < 4) return nullptr;
  const std::string_view magic(reinterpret_cast<const char*>(bytes.data()), 4);
  const auto* found = std::ranges::find(kContainers, magic, &Container::magic);
  return found == kContainers.end() ? nullptr : found;
}

/// The header's numbers, in the order of the file.
struct Sizes {
  uint32_t vocab, embedding, multiple, heads, layers, rotated, file_type;
};

class LegacyParser : private ByteReader {
 public:
  using ByteReader::ByteReader;

  Result<ParsedFile> parse(const Container& container);

 private:
  Status read_header();
  Status read_tensors();
  Result<TensorInfo> read_tensor();
  Status read_shape(TensorInfo& tensor);
  Status place(TensorInfo& tensor);
  Status describe();
  Result<const TensorInfo*> matrix(std::string_view name) const;

  const Container* container_ = nullptr;
  Sizes sizes_{};
  ParsedFile out_;
};

Result<ParsedFile> LegacyParser::parse(const Container& container) {
  container_ = &container;
  out_.format = container.name;
  out_.metadata.set_source(file_);
  position_ = 4;
  HEARTH_RETURN_IF_ERROR(read_header());
  where_ = "vocabulary";
  HEARTH_RETURN_IF_ERROR(check_count("n_vocab", sizes_.vocab, 4, 1 << 22));
  HEARTH_ASSIGN_OR_RETURN(
      position_, read_legacy_vocabulary(file_, bytes_, position_, sizes_.vocab,
                                        container.kind != LegacyContainer::kGgml, out_.metadata));
  HEARTH_RETURN_IF_ERROR(read_tensors());
  HEARTH_RETURN_IF_ERROR(describe());
  return std::move(out_);
}

Status LegacyParser::read_header() {
  where_ = "header";
  if (container_->versions > 0) {
    HEARTH_ASSIGN_OR_RETURN(out_.version, read<uint32_t>("version"));
    if (out_.version < 1 || out_.version > container_->versions)
      return unsupported("version: " + std::to_string(out_.version) + " of " + container_->name +
                         ", expected 1 to " + std::to_string(container_->versions) + "; " +
                         kAdvice);
  }
  HEARTH_ASSIGN_OR_RETURN(sizes_, read<Sizes>("sizes"));
  const auto check = [this](const char* field, uint32_t value, uint32_t limit) -> Status {
    if (value >= 1 && value <= limit) return {};
    return malformed(std::string(field) + ": " + std::to_string(value) + ", expected 1 to " +
                     std::to_string(limit) + " (only LLaMA models are read)");
  };
  HEARTH_RETURN_IF_ERROR(check("n_embd", sizes_.embedding, 1 << 20));
  HEARTH_RETURN_IF_ERROR(check("n_head", sizes_.heads, sizes_.embedding));
  HEARTH_RETURN_IF_ERROR(check("n_layer", sizes_.layers, kMaxLayers));
  if (sizes_.embedding % sizes_.heads != 0)
    return malformed("n_head: " + std::to_string(sizes_.heads) + ", expected a divisor of n_embd " +
                     std::to_string(sizes_.embedding));
  return {};
}

Status LegacyParser::read_tensors() {
  while (remaining() > 0) {
    where_ = "tensor " + std::to_string(out_.tensors.size());
    if (remaining() < kMinTensorBytes) return truncated("tensor header", kMinTensorBytes);
    HEARTH_ASSIGN_OR_RETURN(TensorInfo tensor, read_tensor());
    if (tensor.name.empty()) continue;
    copy_vector_if_needed(tensor, out_.copies);
    out_.tensors.push_back(tensor);
  }
  return {};
}

Result<TensorInfo> LegacyParser::read_tensor() {
  TensorInfo tensor;
  HEARTH_ASSIGN_OR_RETURN(tensor.num_dims, read<uint32_t>("number of dimensions"));
  HEARTH_ASSIGN_OR_RETURN(const uint32_t name_bytes, read<uint32_t>("name length"));
  HEARTH_ASSIGN_OR_RETURN(const uint32_t type_id, read<uint32_t>("type"));
  HEARTH_RETURN_IF_ERROR(read_shape(tensor));
  HEARTH_ASSIGN_OR_RETURN(const std::string_view name,
                          read_text("name", name_bytes, kMaxNameBytes));
  if (name.empty()) return malformed("name: '', expected a name");
  where_ = "tensor " + quote_foreign(name);
  const auto dtype = legacy_dtype(container_->kind, out_.version, type_id);
  if (!dtype)
    return unsupported("type: " + std::to_string(type_id) + " (" +
                       std::string(tensor_type_name(type_id)) + ") of " + container_->name + " " +
                       std::to_string(out_.version) + ", expected one that Hearth reads; " +
                       kAdvice);
  tensor.dtype = *dtype;
  HEARTH_RETURN_IF_ERROR(place(tensor));
  tensor.name = out_.metadata.keep(gguf_name_of_legacy(name));
  return tensor;
}

Status LegacyParser::read_shape(TensorInfo& tensor) {
  if (tensor.num_dims < 1 || tensor.num_dims > kMaxDims)
    return malformed("number of dimensions: " + std::to_string(tensor.num_dims) +
                     ", expected 1 or 2");
  for (uint32_t d = 0; d < tensor.num_dims; ++d) {
    HEARTH_ASSIGN_OR_RETURN(const uint32_t dim, read<uint32_t>("dimension"));
    if (dim < 1 || dim > static_cast<uint32_t>(std::numeric_limits<int32_t>::max()))
      return malformed("dimension " + std::to_string(d) + ": " + std::to_string(dim) +
                       ", expected 1 to 2^31-1");
    tensor.dims[d] = dim;
  }
  return {};
}

Status LegacyParser::place(TensorInfo& tensor) {
  const auto size = tensor_bytes(tensor);
  if (!size.has_value()) return malformed(size.error().message);
  tensor.bytes = *size;
  uint64_t begin = position_;
  if (container_->kind == LegacyContainer::kGgjt)
    begin = checked_align_up<uint64_t>(begin, kTensorAlignment).value_or(UINT64_MAX);
  const auto end = checked_add<uint64_t>(begin, tensor.bytes);
  if (!end || *end > bytes_.size())
    return malformed("data: " + std::to_string(tensor.bytes) + " bytes from byte " +
                     std::to_string(begin) + " on, but the file ends after " +
                     std::to_string(bytes_.size()) + ": truncated or damaged");
  tensor.data = bytes_.data() + begin;
  position_ = *end;
  return {};
}

Result<const TensorInfo*> LegacyParser::matrix(std::string_view name) const {
  const auto found = std::ranges::find(out_.tensors, name, &TensorInfo::name);
  if (found != out_.tensors.end() && found->num_dims == 2) return &*found;
  return fail(ErrorCode::kMalformed,
              file_ + ": has no matrix " + std::string(name) +
                  " (by its GGUF name), expected the tensors of a LLaMA model; " + kAdvice);
}

/// The metadata of a GGUF file of the model. What the header does not say is read from shapes, or
/// is what all models of these containers had.
Status LegacyParser::describe() {
  HEARTH_ASSIGN_OR_RETURN(const TensorInfo* embedding, matrix("token_embd.weight"));
  HEARTH_ASSIGN_OR_RETURN(const TensorInfo* key, matrix("blk.0.attn_k.weight"));
  HEARTH_ASSIGN_OR_RETURN(const TensorInfo* gate, matrix("blk.0.ffn_gate.weight"));
  if (embedding->dims[0] != sizes_.embedding) {
    // Models above 7B came as parts, each with some columns or rows of every matrix.
    return fail(
        ErrorCode::kUnsupported,
        file_ + ": tok_embeddings.weight has rows of " + std::to_string(embedding->dims[0]) +
            ", n_embd is " + std::to_string(sizes_.embedding) +
            ": one part of a model in several files, whose matrices are cut across parts; " +
            kAdvice);
  }
  const uint32_t head_dim = sizes_.embedding / sizes_.heads;
  const auto kv_heads = static_cast<uint64_t>(key->dims[1]) / head_dim;
  const bool is_grouped = kv_heads != sizes_.heads;  // LLaMA 2 70B alone
  Metadata& m = out_.metadata;
  m.insert("general.architecture", std::string_view("llama"));
  m.insert("general.file_type", uint64_t{sizes_.file_type});
  m.insert("llama.vocab_size", uint64_t{sizes_.vocab});
  m.insert("llama.context_length", uint64_t{is_grouped ? 4096U : 2048U});
  m.insert("llama.embedding_length", uint64_t{sizes_.embedding});
  m.insert("llama.block_count", uint64_t{sizes_.layers});
  m.insert("llama.feed_forward_length", static_cast<uint64_t>(gate->dims[1]));
  m.insert("llama.attention.head_count", uint64_t{sizes_.heads});
  m.insert("llama.attention.head_count_kv", kv_heads);
  m.insert("llama.attention.layer_norm_rms_epsilon", is_grouped ? 1e-5 : 1e-6);
  m.insert("llama.rope.dimension_count", uint64_t{sizes_.rotated});
  return {};
}

}  // namespace

bool is_legacy_file(std::span<const std::byte> bytes) { return find_container(bytes) != nullptr; }

Result<ParsedFile> parse_legacy(std::string_view file, std::span<const std::byte> bytes) {
  const Container* container = find_container(bytes);
  if (container == nullptr)
    return fail(ErrorCode::kMalformed,
                quote_foreign(file) + ": magic: not one of ggml, ggmf, ggjt");
  return LegacyParser(file, bytes).parse(*container);
}

}  // namespace hearth
