#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hearth {

/// How many layers go to the GPU: the last ones of the model, and with them the output.
struct GpuLayers {
  enum class Kind { kAuto, kAll, kCount };
  Kind kind = Kind::kCount;  // auto: as many as the memory plan lets; 0 without a GPU
  int32_t count = 0;         // for kCount

  /// Whether there must be a GPU.
  [[nodiscard]] bool demanded() const {
    return kind == Kind::kAll || (kind == Kind::kCount && count > 0);
  }
  /// "auto", "all" or the number.
  [[nodiscard]] std::string text() const {
    if (kind == Kind::kCount) return std::to_string(count);
    return kind == Kind::kAll ? "all" : "auto";
  }
  /// The inverse of text(); nothing for anything else.
  static std::optional<GpuLayers> parse(std::string_view text) {
    if (text == "auto") return GpuLayers{Kind::kAuto, 0};
    if (text == "all") return GpuLayers{Kind::kAll, 0};
    int32_t count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc() || end != text.data() + text.size() || count < 0) return std::nullopt;
    return GpuLayers{Kind::kCount, count};
  }
  bool operator==(const GpuLayers&) const = default;
};

}  // namespace hearth
