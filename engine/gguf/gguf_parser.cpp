#include "engine/gguf/gguf_parser.h"

#include <bit>
#include <limits>
#include <string>

#include "base/checked_math.h"
#include "base/utf8.h"
#include "engine/gguf/array_builder.h"
#include "engine/gguf/byte_reader.h"
#include "engine/gguf/tensor_type_names.h"

namespace hearth {
namespace {

// Smallest encodings, those of version 1: key (length, one byte), type, one-byte value; tensor name
// (length, one byte), rank, one dimension, type, offset.
constexpr uint64_t kMinEntryBytes = 4 + 1 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 4 + 1 + 4 + 4 + 4 + 8;
// Sanity limits far above real files (hundreds of keys, tens of thousands of tensors): they bound
// the tables' memory for files whose size would allow more.
constexpr uint64_t kMaxEntries = 1 << 20;
constexpr uint64_t kMaxTensors = 1 << 20;
// Limits of the GGUF specification.
constexpr uint64_t kMaxKeyBytes = 65535;
constexpr uint64_t kMaxTensorNameBytes = 64;
constexpr uint32_t kMaxDims = 4;
constexpr uint32_t kMinAlignment = 8;
constexpr uint32_t kDefaultAlignment = 32;
constexpr uint32_t kMaxAlignment = 1U << 30;  // the largest huge page: 1 GiB
// Nesting is legal but unused in practice; the limit bounds the recursion.
constexpr int kMaxArrayDepth = 8;

/// Bytes of a value of fixed size; 0 for strings and arrays.
uint64_t fixed_size(MetaType type) {
  switch (type) {
    case MetaType::kU8:
    case MetaType::kI8:
    case MetaType::kBool:
      return 1;
    case MetaType::kU16:
    case MetaType::kI16:
      return 2;
    case MetaType::kU32:
    case MetaType::kI32:
    case MetaType::kF32:
      return 4;
    case MetaType::kU64:
    case MetaType::kI64:
    case MetaType::kF64:
      return 8;
    case MetaType::kString:
    case MetaType::kArray:
      return 0;
  }
  return 0;
}

class GgufParser : private ByteReader {
 public:
  using ByteReader::ByteReader;

  Result<ParsedFile> parse();

 private:
  Status read_header();
  Status check_version(uint32_t version) const;
  Status read_metadata();
  Result<MetaValue> read_value(uint32_t type_id);
  Result<MetaArray> read_array(int depth);
  Result<MetaArray> read_strings(uint64_t count);
  Status read_alignment();
  Status read_tensor_table();
  Result<uint64_t> read_tensor(TensorInfo& tensor);
  Status read_shape(TensorInfo& tensor);
  Status place_tensors(const std::vector<uint64_t>& offsets);

  template <typename T, typename Stored>
  Result<MetaValue> read_as() {
    HEARTH_ASSIGN_OR_RETURN(const T value, read<T>("value"));
    return MetaValue(static_cast<Stored>(value));
  }

  /// A count, length or dimension: 32 bits wide in version 1, 64 since.
  Result<uint64_t> read_count(const char* what) {
    if (out_.version > 1) return read<uint64_t>(what);
    HEARTH_ASSIGN_OR_RETURN(const uint32_t count, read<uint32_t>(what));
    return uint64_t{count};
  }
  Result<std::string_view> read_string(const char* what, uint64_t max_bytes) {
    HEARTH_ASSIGN_OR_RETURN(const uint64_t length, read_count(what));
    return read_text(what, length, max_bytes);
  }

  uint64_t num_entries_ = 0;
  uint64_t num_tensors_ = 0;
  uint32_t alignment_ = kDefaultAlignment;
  ParsedFile out_;
};

Result<ParsedFile> GgufParser::parse() {
  out_.format = "GGUF";
  HEARTH_RETURN_IF_ERROR(read_header());
  HEARTH_RETURN_IF_ERROR(read_metadata());
  HEARTH_RETURN_IF_ERROR(read_alignment());
  HEARTH_RETURN_IF_ERROR(read_tensor_table());
  return std::move(out_);
}

Status GgufParser::read_header() {
  where_ = "magic";
  if (remaining() < 4) return truncated("GGUF magic", 4);
  const std::string_view magic(reinterpret_cast<const char*>(bytes_.data()), 4);
  position_ = 4;
  if (magic == "algg") return unsupported("a LoRA adapter of 2023 (ggla), expected a model file");
  if (magic.starts_with("PK"))
    return unsupported(
        "a ZIP archive, as PyTorch writes; expected a GGUF file, or the folder of a "
        "safetensors model");
  if (magic == "FUGG")
    return fail(ErrorCode::kUnsupported,
                file_ + ": byte order: a big-endian GGUF file, expected little-endian");
  if (magic != "GGUF") return malformed(quote_foreign(magic) + ", expected 'GGUF'");
  where_ = "header";
  HEARTH_ASSIGN_OR_RETURN(out_.version, read<uint32_t>("version"));
  HEARTH_RETURN_IF_ERROR(check_version(out_.version));
  HEARTH_ASSIGN_OR_RETURN(num_tensors_, read_count("tensor count"));
  HEARTH_ASSIGN_OR_RETURN(num_entries_, read_count("metadata count"));
  HEARTH_RETURN_IF_ERROR(check_count("metadata count", num_entries_, kMinEntryBytes, kMaxEntries));
  return check_count("tensor count", num_tensors_, kMinTensorBytes, kMaxTensors);
}

Status GgufParser::check_version(uint32_t version) const {
  if (version >= 1 && version <= 3) return {};
  const uint32_t swapped = __builtin_bswap32(version);
  if (swapped >= 1 && swapped <= 3)
    return fail(ErrorCode::kUnsupported, file_ + ": byte order: a big-endian GGUF file (version " +
                                             std::to_string(swapped) + "), expected little-endian");
  return fail(ErrorCode::kUnsupported,
              file_ + ": version: " + std::to_string(version) + ", expected 1 to 3");
}

Status GgufParser::read_metadata() {
  out_.metadata.set_source(file_);
  for (uint64_t i = 0; i < num_entries_; ++i) {
    where_ = "metadata entry " + std::to_string(i);
    HEARTH_ASSIGN_OR_RETURN(const std::string_view key, read_string("key", kMaxKeyBytes));
    if (key.empty()) return malformed("key: '', expected a name");
    where_ = "key " + quote_foreign(key);
    if (!is_valid_utf8(key)) return malformed("not UTF-8, expected UTF-8");
    HEARTH_ASSIGN_OR_RETURN(const uint32_t type_id, read<uint32_t>("value type"));
    HEARTH_ASSIGN_OR_RETURN(MetaValue value, read_value(type_id));
    if (!out_.metadata.insert(key, std::move(value)))
      return malformed("appears twice, expected once");
  }
  return {};
}

Result<MetaValue> GgufParser::read_value(uint32_t type_id) {
  switch (static_cast<MetaType>(type_id)) {
    case MetaType::kU8:
      return read_as<uint8_t, uint64_t>();
    case MetaType::kI8:
      return read_as<int8_t, int64_t>();
    case MetaType::kU16:
      return read_as<uint16_t, uint64_t>();
    case MetaType::kI16:
      return read_as<int16_t, int64_t>();
    case MetaType::kU32:
      return read_as<uint32_t, uint64_t>();
    case MetaType::kI32:
      return read_as<int32_t, int64_t>();
    case MetaType::kU64:
      return read_as<uint64_t, uint64_t>();
    case MetaType::kI64:
      return read_as<int64_t, int64_t>();
    case MetaType::kF32:
      return read_as<float, double>();
    case MetaType::kF64:
      return read_as<double, double>();
    case MetaType::kBool: {
      HEARTH_ASSIGN_OR_RETURN(const uint8_t value, read<uint8_t>("value"));
      if (value > 1) return malformed("bool value: " + std::to_string(value) + ", expected 0 or 1");
      return MetaValue(value == 1);
    }
    case MetaType::kString: {
      HEARTH_ASSIGN_OR_RETURN(const std::string_view text,
                              read_string("string", std::numeric_limits<uint64_t>::max()));
      return MetaValue(text);
    }
    case MetaType::kArray: {
      HEARTH_ASSIGN_OR_RETURN(const MetaArray array, read_array(1));
      return MetaValue(array);
    }
  }
  return malformed("value type: " + std::to_string(type_id) + ", expected 0 to 12");
}

/// Checks every element, so that later readers need no bounds checks. Elements that are arrays
/// stay opaque: their bytes are checked and spanned.
Result<MetaArray> GgufParser::read_array(int depth) {
  if (depth > kMaxArrayDepth)
    return malformed("array nesting: deeper than " + std::to_string(kMaxArrayDepth) +
                     " levels, expected at most " + std::to_string(kMaxArrayDepth));
  HEARTH_ASSIGN_OR_RETURN(const uint32_t type_id, read<uint32_t>("array element type"));
  if (type_id > static_cast<uint32_t>(MetaType::kF64))
    return malformed("array element type: " + std::to_string(type_id) + ", expected 0 to 12");
  const auto type = static_cast<MetaType>(type_id);
  HEARTH_ASSIGN_OR_RETURN(const uint64_t count, read_count("array length"));
  const uint64_t fixed = fixed_size(type);
  // A string takes at least its length field, an array its type and length.
  const uint64_t length_bytes = out_.version > 1 ? 8 : 4;
  const uint64_t least = fixed > 0                   ? fixed
                         : type == MetaType::kString ? length_bytes
                                                     : 4 + length_bytes;
  if (count > remaining() / least)
    return malformed("array length: " + std::to_string(count) + ", expected at most the " +
                     std::to_string(remaining() / least) +
                     " that the file's remaining bytes can hold");
  const size_t begin = position_;
  if (type == MetaType::kString) return read_strings(count);
  if (fixed > 0) {
    position_ += count * fixed;  // bounded by the check above
  } else {
    for (uint64_t i = 0; i < count; ++i) HEARTH_RETURN_IF_ERROR(read_array(depth + 1));
  }
  return MetaArray{type, count, bytes_.subspan(begin, position_ - begin)};
}

/// Strings stay where they are; those of version 1, whose lengths are narrower, are translated.
Result<MetaArray> GgufParser::read_strings(uint64_t count) {
  const size_t begin = position_;
  StringArrayBuilder translated;
  for (uint64_t i = 0; i < count; ++i) {
    HEARTH_ASSIGN_OR_RETURN(const uint64_t length, read_count("array string"));
    if (length > remaining())
      return malformed("length of array string " + std::to_string(i) + ": " +
                       std::to_string(length) + ", expected at most the " +
                       std::to_string(remaining()) + " bytes left in the file");
    if (out_.version == 1)
      translated.add({reinterpret_cast<const char*>(bytes_.data()) + position_, length});
    position_ += length;
  }
  if (out_.version == 1) return std::move(translated).keep_in(out_.metadata);
  return MetaArray{MetaType::kString, count, bytes_.subspan(begin, position_ - begin)};
}

Status GgufParser::read_alignment() {
  HEARTH_ASSIGN_OR_RETURN(alignment_, out_.metadata.u32_or("general.alignment", kDefaultAlignment));
  where_ = "key 'general.alignment'";
  if (!std::has_single_bit(alignment_) || alignment_ < kMinAlignment || alignment_ > kMaxAlignment)
    return malformed(std::to_string(alignment_) + ", expected a power of two from " +
                     std::to_string(kMinAlignment) + " to " + std::to_string(kMaxAlignment));
  return {};
}

Status GgufParser::read_tensor_table() {
  std::vector<uint64_t> offsets;
  offsets.reserve(num_tensors_);
  out_.tensors.reserve(num_tensors_);
  for (uint64_t i = 0; i < num_tensors_; ++i) {
    where_ = "tensor " + std::to_string(i);
    TensorInfo tensor;
    HEARTH_ASSIGN_OR_RETURN(const uint64_t offset, read_tensor(tensor));
    out_.tensors.push_back(tensor);
    offsets.push_back(offset);
  }
  return place_tensors(offsets);
}

/// Reads one row of the table; returns the offset of the data, which is checked once the whole
/// table is read and its end known.
Result<uint64_t> GgufParser::read_tensor(TensorInfo& tensor) {
  HEARTH_ASSIGN_OR_RETURN(tensor.name, read_string("name", kMaxTensorNameBytes));
  if (tensor.name.empty()) return malformed("name: '', expected a name");
  where_ = "tensor " + quote_foreign(tensor.name);
  if (!is_valid_utf8(tensor.name)) return malformed("name is not UTF-8, expected UTF-8");
  HEARTH_RETURN_IF_ERROR(read_shape(tensor));
  HEARTH_ASSIGN_OR_RETURN(const uint32_t type_id, read<uint32_t>("type"));
  const DTypeInfo* type = find_dtype(type_id);
  if (type == nullptr || type_id >= kFirstForeignType)
    return fail(ErrorCode::kUnsupported,
                file_ + ": " + where_ + ": type: " + std::to_string(type_id) + " (" +
                    std::string(tensor_type_name(type_id)) + "), expected one that Hearth reads");
  tensor.dtype = type->dtype;
  const auto size = tensor_bytes(tensor);
  if (!size.has_value()) return malformed(size.error().message);
  tensor.bytes = *size;
  return read<uint64_t>("offset");
}

Status GgufParser::read_shape(TensorInfo& tensor) {
  HEARTH_ASSIGN_OR_RETURN(tensor.num_dims, read<uint32_t>("number of dimensions"));
  if (tensor.num_dims < 1 || tensor.num_dims > kMaxDims)
    return malformed("number of dimensions: " + std::to_string(tensor.num_dims) +
                     ", expected 1 to " + std::to_string(kMaxDims));
  for (uint32_t d = 0; d < tensor.num_dims; ++d) {
    HEARTH_ASSIGN_OR_RETURN(const uint64_t dim, read_count("dimension"));
    if (dim < 1 || dim > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      return malformed("dimension " + std::to_string(d) + ": " + std::to_string(dim) +
                       ", expected 1 to 2^63-1");
    tensor.dims[d] = static_cast<int64_t>(dim);
  }
  return {};
}

Status GgufParser::place_tensors(const std::vector<uint64_t>& offsets) {
  if (out_.tensors.empty()) return {};  // a vocabulary: nothing follows, not even padding
  where_ = "tensor data";
  const auto data_begin = checked_align_up<uint64_t>(position_, alignment_);
  if (!data_begin || *data_begin > bytes_.size())
    return malformed("begins at byte " + std::to_string(data_begin.value_or(position_)) +
                     ", but the file ends after " + std::to_string(bytes_.size()));
  for (size_t i = 0; i < offsets.size(); ++i) {
    TensorInfo& tensor = out_.tensors[i];
    where_ = "tensor " + quote_foreign(tensor.name);
    if (offsets[i] % alignment_ != 0)
      return malformed("offset: " + std::to_string(offsets[i]) + ", expected a multiple of " +
                       std::to_string(alignment_));
    const auto begin = checked_add<uint64_t>(*data_begin, offsets[i]);
    const auto end = begin ? checked_add<uint64_t>(*begin, tensor.bytes) : begin;
    if (!end || *end > bytes_.size())
      return malformed("offset " + std::to_string(offsets[i]) + " and " +
                       std::to_string(tensor.bytes) + " bytes go beyond the end of the data, " +
                       std::to_string(bytes_.size() - *data_begin) +
                       " bytes in this file: truncated or damaged");
    tensor.data = bytes_.data() + *begin;
  }
  return {};
}

}  // namespace

Result<ParsedFile> parse_gguf(std::string_view file, std::span<const std::byte> bytes) {
  return GgufParser(file, bytes).parse();
}

}  // namespace hearth
