#pragma once
// Names of the parts of a split model: PREFIX-00001-of-00003.gguf, numbered from 1.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hearth {

struct SplitName {
  std::string prefix;
  uint32_t number = 0;  // from 1
  uint32_t count = 0;
};

/// The pieces of a part's file name; nothing if it is not one.
std::optional<SplitName> parse_split_name(std::string_view file_name);

/// "PREFIX-00001-of-00003.gguf".
std::string split_part_name(std::string_view prefix, uint32_t number, uint32_t count);

}  // namespace hearth
