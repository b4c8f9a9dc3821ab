#include "engine/safetensors/safetensors_header.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "engine/gguf/parsed_file.h"
#include "engine/gguf/quote.h"
#include "engine/safetensors/json_reader.h"

namespace hearth {
namespace {

constexpr uint64_t kLengthBytes = 8;
// The format's own limit.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr size_t kMaxTensors = 1 << 20;

std::optional<DType> find_type(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, DType>, 3> kTypes = {
      {{"F32", DType::kF32}, {"F16", DType::kF16}, {"BF16", DType::kBF16}}};
  for (const auto& [known, dtype] : kTypes)
    if (name == known) return dtype;
  return std::nullopt;
}

class HeaderParser {
 public:
  HeaderParser(std::string file, std::string_view header, std::span<const std::byte> data,
               Metadata& keeper)
      : file_(std::move(file)), reader_(file_, header), data_(data), keeper_(keeper) {}

  Result<std::vector<TensorInfo>> parse() {
    HEARTH_RETURN_IF_ERROR(reader_.object([this](std::string_view key) -> Status {
      if (key == "__metadata__") return reader_.skip();
      return read_tensor(key);
    }));
    HEARTH_RETURN_IF_ERROR(reader_.end());
    return std::move(tensors_);
  }

 private:
  Status read_tensor(std::string_view key) {
    if (tensors_.size() == kMaxTensors) return reader_.wrong("too many tensors", "at most 1048576");
    TensorInfo tensor;
    tensor.name = reader_.is_in_text(key) ? key : keeper_.keep(std::string(key));
    std::array<uint64_t, 2> offsets{};
    bool has_type = false;
    bool has_shape = false;
    bool has_offsets = false;
    HEARTH_RETURN_IF_ERROR(reader_.object([&](std::string_view field) -> Status {
      if (field == "dtype") {
        has_type = true;
        return read_type(tensor);
      }
      if (field == "shape") {
        has_shape = true;
        return read_shape(tensor);
      }
      if (field == "data_offsets") {
        has_offsets = true;
        return read_offsets(offsets);
      }
      return reader_.skip();
    }));
    if (!has_type || !has_shape || !has_offsets)
      return reader_.wrong("not all fields", "dtype, shape and data_offsets");
    HEARTH_RETURN_IF_ERROR(place(tensor, offsets));
    tensors_.push_back(tensor);
    return {};
  }

  Status read_type(TensorInfo& tensor) {
    HEARTH_ASSIGN_OR_RETURN(const std::string_view name, reader_.string());
    const auto dtype = find_type(name);
    if (!dtype)
      return fail(ErrorCode::kUnsupported,
                  file_ + ": " + quote_foreign(reader_.path()) + ": " + quote_foreign(name) +
                      ", expected F32, F16 or BF16: quantized weights are read from GGUF files");
    tensor.dtype = *dtype;
    return {};
  }

  /// [slowest, …, fastest]; a scalar has no dimensions and one value.
  Status read_shape(TensorInfo& tensor) {
    tensor.num_dims = 0;
    HEARTH_RETURN_IF_ERROR(reader_.array([&](size_t index) -> Status {
      HEARTH_ASSIGN_OR_RETURN(const uint64_t dim, reader_.u64());
      if (dim < 1 || dim > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        return reader_.wrong(std::to_string(dim), "1 to 2^63-1");
      if (index >= tensor.dims.size()) return reader_.wrong("more dimensions", "at most 4");
      tensor.dims[index] = static_cast<int64_t>(dim);
      tensor.num_dims = static_cast<uint32_t>(index) + 1;
      return {};
    }));
    std::reverse(tensor.dims.begin(), tensor.dims.begin() + tensor.num_dims);
    tensor.num_dims = std::max(tensor.num_dims, 1U);
    return {};
  }

  Status read_offsets(std::array<uint64_t, 2>& offsets) {
    size_t count = 0;
    HEARTH_RETURN_IF_ERROR(reader_.array([&](size_t index) -> Status {
      if (index >= offsets.size()) return reader_.wrong("more offsets", "begin and end");
      HEARTH_ASSIGN_OR_RETURN(offsets[index], reader_.u64());
      count = index + 1;
      return {};
    }));
    return count == offsets.size() ? Status() : reader_.wrong("fewer offsets", "begin and end");
  }

  Status place(TensorInfo& tensor, const std::array<uint64_t, 2>& offsets) {
    const auto size = tensor_bytes(tensor);
    if (!size.has_value()) return reader_.wrong(size.error().message, "a tensor that fits a file");
    const auto [begin, end] = offsets;
    if (begin > end || end > data_.size())
      return reader_.wrong("data_offsets " + std::to_string(begin) + ", " + std::to_string(end) +
                               " of " + std::to_string(data_.size()) + " bytes",
                           "a range within the file: truncated or damaged");
    if (end - begin != *size)
      return reader_.wrong("data_offsets of " + std::to_string(end - begin) + " bytes",
                           "as many as dtype and shape take");
    tensor.data = data_.data() + begin;
    tensor.bytes = *size;
    return {};
  }

  std::string file_;
  JsonReader reader_;
  std::span<const std::byte> data_;
  Metadata& keeper_;
  std::vector<TensorInfo> tensors_;
};

}  // namespace

Result<std::vector<TensorInfo>> parse_safetensors(std::string_view file,
                                                  std::span<const std::byte> bytes,
                                                  Metadata& keeper) {
  const std::string name = quote_foreign(file);
  uint64_t length = 0;
  if (bytes.size() < kLengthBytes)
    return fail(ErrorCode::kMalformed, name + ": header length: the file has " +
                                           std::to_string(bytes.size()) + " bytes, expected 8");
  std::memcpy(&length, bytes.data(), sizeof(length));
  const uint64_t most = std::min(bytes.size() - kLengthBytes, kMaxHeaderBytes);
  if (length > most)
    return fail(ErrorCode::kMalformed, name + ": header length: " + std::to_string(length) +
                                           ", expected at most " + std::to_string(most));
  const std::string_view header(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, length);
  return HeaderParser(name, header, bytes.subspan(kLengthBytes + length), keeper).parse();
}

}  // namespace hearth
