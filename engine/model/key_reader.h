#pragma once
// Values of the keys "<architecture>.*", checked; errors say which key was wrong.

#include <spdlog/fmt/fmt.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/gguf/model_file.h"

namespace hearth {

// Limits that hold for every published model with room to spare. They keep products of two sizes
// far below 2^63 and refuse a lying file before anything is allocated.
inline constexpr uint32_t kMaxLayers = 4096;
inline constexpr uint32_t kMaxWidth = 1U << 20;
inline constexpr uint32_t kMaxHeads = 4096;
inline constexpr uint32_t kMaxHeadSize = 1024;
inline constexpr uint32_t kMaxContext = 1U << 26;

class KeyReader {
 public:
  /// `file` must outlive the reader.
  KeyReader(const ModelFile& file, std::string_view architecture)
      : file_(file), architecture_(architecture) {}

  [[nodiscard]] std::string key(std::string_view suffix) const {
    return architecture_ + "." + std::string(suffix);
  }
  [[nodiscard]] const Metadata& metadata() const { return file_.metadata(); }
  [[nodiscard]] bool contains(std::string_view suffix) const {
    return metadata().contains(key(suffix));
  }

  /// An integer in [1, limit].
  [[nodiscard]] Result<int32_t> size(std::string_view suffix, uint32_t limit) const;
  [[nodiscard]] Result<int32_t> size_or(std::string_view suffix, uint32_t fallback,
                                        uint32_t limit) const;
  /// A finite number above 0.
  [[nodiscard]] Result<float> positive(std::string_view suffix) const;
  [[nodiscard]] Result<float> positive_or(std::string_view suffix, float fallback) const;
  /// The same, or 0, which stands for "none".
  [[nodiscard]] Result<float> positive_or_none(std::string_view suffix) const;
  [[nodiscard]] Result<bool> flag_or(std::string_view suffix, bool fallback) const;
  /// One flag for each of `count` layers: an array of flags, or a period N, which sets all layers
  /// but every N-th. Without the key, the period is `fallback`.
  [[nodiscard]] Result<std::vector<bool>> pattern_or(std::string_view suffix, int32_t fallback,
                                                     int32_t count) const;

  template <typename T>
  [[nodiscard]] std::unexpected<Error> bad(std::string_view suffix, const T& value,
                                           std::string_view expected) const {
    return bad_text(suffix, fmt::format("{}", value), expected);
  }

 private:
  [[nodiscard]] Result<int32_t> checked(std::string_view suffix, uint32_t value,
                                        uint32_t limit) const;
  [[nodiscard]] Result<float> checked(std::string_view suffix, float value) const;
  [[nodiscard]] std::unexpected<Error> bad_text(std::string_view suffix, const std::string& value,
                                                std::string_view expected) const;

  const ModelFile& file_;
  std::string architecture_;
};

}  // namespace hearth
