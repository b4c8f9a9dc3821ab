#include "engine/synth/gguf_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <limits>
#include <system_error>
#include <type_traits>
#include <variant>

#include "base/check.h"
#include "base/checked_math.h"
#include "base/unique_fd.h"
#include "engine/gguf/quote.h"
#include "engine/gguf/split_name.h"

namespace hearth {
namespace {

constexpr uint32_t kDefaultAlignment = 32;
// Large enough that system calls do not count, small enough to stay in L2 between the producer
// and the copy to the page cache.
constexpr uint64_t kChunkBytes = 1 << 20;

template <typename T>
void put(std::string& out, T value) {
  static_assert(std::endian::native == std::endian::little && std::is_trivially_copyable_v<T>);
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void put_string(std::string& out, std::string_view text) {
  put<uint64_t>(out, text.size());
  out += text;
}

void put_key(std::string& out, std::string_view key, MetaType type) {
  put_string(out, key);
  put(out, static_cast<uint32_t>(type));
}

uint64_t align_up(uint64_t value, uint64_t alignment) {
  return ceil_div(value, alignment) * alignment;
}

/// A file under a temporary name that becomes `path` when complete, and goes away if not.
class OutputFile {
 public:
  explicit OutputFile(std::filesystem::path path)
      : path_(std::move(path)), temporary_(path_.string() + ".part." + std::to_string(::getpid())) {
    fd_.reset(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile() {
    if (!finished_ && created_) ::unlink(temporary_.c_str());
  }

  Status check_open() {
    if (!fd_.valid()) return system_error("create");
    created_ = true;
    return {};
  }

  Status write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t done = ::write(fd_.get(), bytes.data(), bytes.size());
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) return system_error("write");
      bytes = bytes.subspan(static_cast<size_t>(done));
    }
    return {};
  }

  Status finish() {
    // close reports errors that a network file system found late; the descriptor is gone either way
    if (::close(fd_.release()) != 0) return system_error("close");
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) return system_error("rename");
    finished_ = true;
    return {};
  }

 private:
  std::unexpected<Error> system_error(const char* action) const {
    const int error = errno;
    return fail(ErrorCode::kIo, quote_foreign(path_.string()) + ": cannot " + action + ": " +
                                    std::generic_category().message(error));
  }

  const std::filesystem::path path_;
  const std::string temporary_;
  UniqueFd fd_;
  bool created_ = false;
  bool finished_ = false;
};

}  // namespace

GgufWriter::GgufWriter(uint32_t version, uint32_t alignment)
    : version_(version), alignment_(alignment) {
  HEARTH_CHECK(version == 2 || version == 3, "GGUF version");
  HEARTH_CHECK(std::has_single_bit(alignment) && alignment >= 8, "GGUF alignment");
}

void GgufWriter::begin_entry(std::string_view key, MetaType type) {
  put_key(entries_.bytes, key, type);
  ++entries_.count;
}

void GgufWriter::add_u32(std::string_view key, uint32_t value) {
  begin_entry(key, MetaType::kU32);
  put(entries_.bytes, value);
}

void GgufWriter::add_f32(std::string_view key, float value) {
  begin_entry(key, MetaType::kF32);
  put(entries_.bytes, value);
}

void GgufWriter::add_bool(std::string_view key, bool value) {
  begin_entry(key, MetaType::kBool);
  put<uint8_t>(entries_.bytes, value ? 1 : 0);
}

void GgufWriter::add_string(std::string_view key, std::string_view value) {
  begin_entry(key, MetaType::kString);
  put_string(entries_.bytes, value);
}

void GgufWriter::add_strings(std::string_view key, std::span<const std::string> values) {
  begin_entry(key, MetaType::kArray);
  put(entries_.bytes, static_cast<uint32_t>(MetaType::kString));
  put<uint64_t>(entries_.bytes, values.size());
  for (const std::string& value : values) put_string(entries_.bytes, value);
}

void GgufWriter::add_i32s(std::string_view key, std::span<const int32_t> values) {
  put_array(key, {MetaType::kI32, values.size(), std::as_bytes(values)});
}

void GgufWriter::add_f32s(std::string_view key, std::span<const float> values) {
  put_array(key, {MetaType::kF32, values.size(), std::as_bytes(values)});
}

void GgufWriter::put_integer(std::string_view key, uint64_t value) {
  if (std::in_range<uint32_t>(value)) return add_u32(key, static_cast<uint32_t>(value));
  begin_entry(key, MetaType::kU64);
  put(entries_.bytes, value);
}

void GgufWriter::put_integer(std::string_view key, int64_t value) {
  const bool narrow = std::in_range<int32_t>(value);
  begin_entry(key, narrow ? MetaType::kI32 : MetaType::kI64);
  if (narrow)
    put(entries_.bytes, static_cast<int32_t>(value));
  else
    put(entries_.bytes, value);
}

void GgufWriter::put_float(std::string_view key, double value) {
  // The order of the tests matters: a double beyond float's range must not be converted.
  if (std::fabs(value) <= std::numeric_limits<float>::max() &&
      static_cast<double>(static_cast<float>(value)) == value)
    return add_f32(key, static_cast<float>(value));
  begin_entry(key, MetaType::kF64);
  put(entries_.bytes, value);
}

void GgufWriter::put_array(std::string_view key, const MetaArray& array) {
  begin_entry(key, MetaType::kArray);
  put(entries_.bytes, static_cast<uint32_t>(array.element_type));
  put(entries_.bytes, array.count);
  entries_.bytes.append(reinterpret_cast<const char*>(array.bytes.data()), array.bytes.size());
}

void GgufWriter::add_value(std::string_view key, const MetaValue& value) {
  struct Put {
    GgufWriter& writer;
    std::string_view key;
    void operator()(uint64_t v) const { writer.put_integer(key, v); }
    void operator()(int64_t v) const { writer.put_integer(key, v); }
    void operator()(double v) const { writer.put_float(key, v); }
    void operator()(bool v) const { writer.add_bool(key, v); }
    void operator()(std::string_view v) const { writer.add_string(key, v); }
    void operator()(const MetaArray& v) const { writer.put_array(key, v); }
  };
  std::visit(Put{*this, key}, value);
}

void GgufWriter::add_tensor(std::string_view name, DType dtype, std::span<const int64_t> dims,
                            RowProducer producer) {
  add_checked_tensor(name, dtype, dims,
                     [producer = std::move(producer)](int64_t first_row, std::span<std::byte> out) {
                       producer(first_row, out);
                       return Status();
                     });
}

void GgufWriter::add_checked_tensor(std::string_view name, DType dtype,
                                    std::span<const int64_t> dims, CheckedRowProducer producer) {
  HEARTH_CHECK(!name.empty() && name.size() <= 64, "tensor name");
  HEARTH_CHECK(!dims.empty() && dims.size() <= 4, "tensor dimensions");
  HEARTH_CHECK(dims[0] % dtype_info(dtype).block_size == 0, "rows of whole blocks");
  uint64_t bytes = row_bytes(dtype, dims[0]);
  for (const int64_t dim : dims.subspan(1)) bytes *= static_cast<uint64_t>(dim);
  HEARTH_CHECK(bytes > 0, "empty tensor");
  tensors_.push_back(
      {std::string(name), dtype, {dims.begin(), dims.end()}, bytes, std::move(producer)});
}

GgufWriter::Entries GgufWriter::base_entries() const {
  Entries entries;
  if (alignment_ != kDefaultAlignment) {
    put_key(entries.bytes, "general.alignment", MetaType::kU32);
    put(entries.bytes, alignment_);
    ++entries.count;
  }
  return entries;
}

/// Everything before the tensor data, padded to where that begins.
std::string GgufWriter::header(const Entries& entries, std::span<const Tensor> tensors) const {
  const Entries base = base_entries();
  std::string out = "GGUF";
  put(out, version_);
  put<uint64_t>(out, tensors.size());
  put<uint64_t>(out, base.count + entries.count);
  out += base.bytes;
  out += entries.bytes;
  uint64_t offset = 0;
  for (const Tensor& tensor : tensors) {
    put_string(out, tensor.name);
    put(out, static_cast<uint32_t>(tensor.dims.size()));
    for (const int64_t dim : tensor.dims) put(out, static_cast<uint64_t>(dim));
    put(out, static_cast<uint32_t>(tensor.dtype));
    put(out, offset);
    offset += align_up(tensor.bytes, alignment_);
  }
  if (!tensors.empty()) out.resize(align_up(out.size(), alignment_));
  return out;
}

uint64_t GgufWriter::file_bytes() const {
  uint64_t bytes = header(entries_, tensors_).size();
  for (const Tensor& tensor : tensors_) bytes += align_up(tensor.bytes, alignment_);
  return bytes;
}

Status GgufWriter::write(const std::filesystem::path& path) const {
  return write_file(path, entries_, tensors_);
}

Status GgufWriter::write_file(const std::filesystem::path& path, const Entries& entries,
                              std::span<const Tensor> tensors) const {
  OutputFile file(path);
  HEARTH_RETURN_IF_ERROR(file.check_open());
  const std::string head = header(entries, tensors);
  HEARTH_RETURN_IF_ERROR(file.write(std::as_bytes(std::span(head))));
  std::vector<std::byte> chunk;
  for (const Tensor& tensor : tensors) {
    const uint64_t bytes_per_row = row_bytes(tensor.dtype, tensor.dims[0]);
    const uint64_t num_rows = tensor.bytes / bytes_per_row;
    const uint64_t chunk_rows =
        std::min(num_rows, std::max<uint64_t>(1, kChunkBytes / bytes_per_row));
    for (uint64_t row = 0; row < num_rows; row += chunk_rows) {
      chunk.assign(std::min(chunk_rows, num_rows - row) * bytes_per_row, std::byte{0});
      HEARTH_RETURN_IF_ERROR(tensor.producer(static_cast<int64_t>(row), chunk));
      HEARTH_RETURN_IF_ERROR(file.write(chunk));
    }
    chunk.assign(align_up(tensor.bytes, alignment_) - tensor.bytes, std::byte{0});
    HEARTH_RETURN_IF_ERROR(file.write(chunk));
  }
  return file.finish();
}

Result<std::filesystem::path> GgufWriter::write_split(const std::filesystem::path& folder,
                                                      std::string_view prefix,
                                                      uint32_t parts) const {
  HEARTH_CHECK(parts >= 1 && parts <= std::max<size_t>(1, tensors_.size()),
               "every part has a tensor");
  const std::span<const Tensor> all = tensors_;
  for (uint32_t part = 0; part < parts; ++part) {
    const size_t begin = all.size() * part / parts;
    const size_t end = all.size() * (part + 1) / parts;
    Entries entries = part == 0 ? entries_ : Entries{};
    // The widths that files in use have: u16 for the part numbers, i32 for the tensors.
    put_key(entries.bytes, "split.no", MetaType::kU16);
    put(entries.bytes, static_cast<uint16_t>(part));
    put_key(entries.bytes, "split.count", MetaType::kU16);
    put(entries.bytes, static_cast<uint16_t>(parts));
    put_key(entries.bytes, "split.tensors.count", MetaType::kI32);
    put(entries.bytes, static_cast<int32_t>(all.size()));
    entries.count += 3;
    HEARTH_RETURN_IF_ERROR(write_file(folder / split_part_name(prefix, part + 1, parts), entries,
                                      all.subspan(begin, end - begin)));
  }
  return folder / split_part_name(prefix, 1, parts);
}

}  // namespace hearth
