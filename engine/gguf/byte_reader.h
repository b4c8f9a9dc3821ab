#pragma once
// Reads a binary file's fields in order, each checked against the file's end, with messages that
// name the file, the part and the field: the base of the parsers of binary formats.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/gguf/quote.h"

namespace hearth {

static_assert(std::endian::native == std::endian::little, "fields are read as they lie");

class ByteReader {
 public:
  ByteReader(std::string_view file, std::span<const std::byte> bytes)
      : file_(quote_foreign(file)), bytes_(bytes) {}

 protected:
  [[nodiscard]] uint64_t remaining() const { return bytes_.size() - position_; }

  /// The next T. `what` names it in the message.
  template <typename T>
  Result<T> read(const char* what) {
    if (remaining() < sizeof(T)) return truncated(what, sizeof(T));
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  /// The next `length` bytes as text.
  Result<std::string_view> read_text(const char* what, uint64_t length, uint64_t max_bytes) {
    if (length > remaining())
      return malformed(std::string(what) + " length: " + std::to_string(length) +
                       ", expected at most the " + std::to_string(remaining()) +
                       " bytes left in the file");
    if (length > max_bytes)
      return malformed(std::string(what) + " length: " + std::to_string(length) +
                       ", expected at most " + std::to_string(max_bytes));
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + position_, length);
    position_ += length;
    return text;
  }

  /// Refuses a count of things of at least `min_bytes` each that the rest of the file cannot hold,
  /// before anything is allocated for them.
  Status check_count(const char* field, uint64_t count, uint64_t min_bytes, uint64_t limit) const {
    const uint64_t fits = remaining() / min_bytes;
    if (count > fits)
      return malformed(std::string(field) + ": " + std::to_string(count) +
                       ", expected at most the " + std::to_string(fits) +
                       " that the file's remaining bytes can hold");
    if (count > limit)
      return malformed(std::string(field) + ": " + std::to_string(count) + ", expected at most " +
                       std::to_string(limit));
    return {};
  }

  [[nodiscard]] std::unexpected<Error> malformed(const std::string& what) const {
    return fail(ErrorCode::kMalformed, file_ + ": " + where_ + ": " + what);
  }
  [[nodiscard]] std::unexpected<Error> unsupported(const std::string& what) const {
    return fail(ErrorCode::kUnsupported, file_ + ": " + where_ + ": " + what);
  }
  [[nodiscard]] std::unexpected<Error> truncated(const char* what, uint64_t need) const {
    return malformed(std::string(what) + " at byte " + std::to_string(position_) + " needs " +
                     std::to_string(need) + " bytes, but the file ends after " +
                     std::to_string(bytes_.size()));
  }

  const std::string file_;  // quoted
  const std::span<const std::byte> bytes_;
  size_t position_ = 0;
  std::string where_;  // the part being read, for messages
};

}  // namespace hearth
