#pragma once
// Which GPUs get layers, and how many of them each: what --device and --split say.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hearth {

/// GPUs by their numbers, in the order in which they get layers.
struct DeviceList {
  bool all = false;                    // every GPU of the machine
  std::vector<int32_t> indices = {0};  // without `all`: different ones, at least one

  /// "all" or the numbers: "0,2".
  [[nodiscard]] std::string text() const;
  /// The inverse of text(). The message of an error says what was expected: "'x' is no …".
  static Result<DeviceList> parse(std::string_view text);
  bool operator==(const DeviceList&) const = default;
};

/// How the layers are shared out among the GPUs.
struct GpuSplit {
  std::vector<double> parts;  // in proportion to these, one for each GPU; empty: by free memory

  /// "auto" or the parts: "3,1".
  [[nodiscard]] std::string text() const;
  static Result<GpuSplit> parse(std::string_view text);
  bool operator==(const GpuSplit&) const = default;
};

}  // namespace hearth
