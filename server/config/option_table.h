#pragma once
// The one table of the options of `hearth serve`. Parsing, --help and config/hearth.toml come
// from it.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "server/config/serve_options.h"

namespace hearth {

using OptionField =
    std::variant<std::string ServeOptions::*, int32_t ServeOptions::*, bool ServeOptions::*,
                 std::vector<std::string> ServeOptions::*, KvType ServeOptions::*,
                 GpuLayers ServeOptions::*, DeviceList ServeOptions::*, GpuSplit ServeOptions::*>;

struct OptionRow {
  std::string_view flag;
  std::string_view short_flag;  // empty: none
  std::string_view alias;       // a further spelling that users know; empty: none
  std::string_view variable;
  std::string_view section;  // of the file; empty: not in the file
  std::string_view key;
  OptionField field;
  std::string_view value_name;  // for --help; choices look like "a|b|c" and are checked
  std::string_view default_text;
  int64_t min;  // of a number; of a text, its length in bytes
  int64_t max;
  bool secret;            // values never appear in messages
  std::string_view help;  // plain sentences without the default, which is added

  [[nodiscard]] bool is_switch() const {
    return std::holds_alternative<bool ServeOptions::*>(field);
  }
  [[nodiscard]] bool is_list() const {
    return std::holds_alternative<std::vector<std::string> ServeOptions::*>(field);
  }
  /// A text that may be one number, which the file may then give as such.
  [[nodiscard]] bool may_be_number() const {
    return std::holds_alternative<GpuLayers ServeOptions::*>(field) ||
           std::holds_alternative<DeviceList ServeOptions::*>(field);
  }
  [[nodiscard]] bool is_number() const {
    return std::holds_alternative<int32_t ServeOptions::*>(field);
  }
};

std::span<const OptionRow> option_table();

/// What a section of the file and of --help is about. Rows of sections that are not listed here
/// are options for tests: they work, and are not shown.
struct SectionRow {
  std::string_view name;   // in the file; empty: flags only
  std::string_view title;  // in --help and as a comment
};
std::span<const SectionRow> option_sections();

/// The row that `argument` names by flag, short flag or alias; null if there is none.
const OptionRow* find_by_flag(std::string_view argument);
const OptionRow* find_by_variable(std::string_view variable);
const OptionRow* find_by_key(std::string_view section, std::string_view key);

/// The flags whose values differ.
std::vector<std::string_view> changed_options(const ServeOptions& before,
                                              const ServeOptions& after);

/// Checks `values` (one, or several for a list) and stores them in `options`. The message of an
/// error begins with `origin`: "--port", "HEARTH_PORT" or "hearth.toml:4: server.port".
Status set_option(const OptionRow& row, std::span<const std::string> values,
                  const std::string& origin, ServeOptions& options);

}  // namespace hearth
