#include "server/config/config_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <optional>

#include "base/read_file.h"

namespace hearth {
namespace {

std::string place(const std::string& name, const toml::node& node) {
  return name + ":" + std::to_string(node.source().begin.line);
}

/// What a row expects in the file, for messages.
std::string_view kind_of(const OptionRow& row) {
  if (row.is_switch()) return "true or false";
  if (row.is_number()) return "a whole number";
  if (row.is_list()) return "a list of texts";
  if (row.may_be_number()) return "a number or a text";
  return "a text in quotes";
}

/// The value of a node if it is of the row's kind.
std::optional<std::string> scalar_text(const OptionRow& row, const toml::node& node) {
  if (const auto* flag = node.as_boolean(); flag != nullptr && row.is_switch())
    return flag->get() ? "true" : "false";
  if (const auto* number = node.as_integer();
      number != nullptr && (row.is_number() || row.may_be_number()))
    return std::to_string(number->get());
  const bool wants_text = !row.is_switch() && !row.is_number() && !row.is_list();
  if (const auto* text = node.as_string(); text != nullptr && wants_text) return text->get();
  return std::nullopt;
}

std::optional<std::vector<std::string>> values_of(const OptionRow& row, const toml::node& node) {
  std::vector<std::string> values;
  if (!row.is_list()) {
    auto value = scalar_text(row, node);
    if (!value) return std::nullopt;
    values.push_back(std::move(*value));
    return values;
  }
  const auto* list = node.as_array();
  if (list == nullptr) return std::nullopt;
  for (const toml::node& item : *list) {
    if (!item.is_string()) return std::nullopt;
    values.push_back(item.as_string()->get());
  }
  return values;
}

bool is_section(std::string_view name) {
  return !name.empty() &&
         std::ranges::find(option_sections(), name, &SectionRow::name) != option_sections().end();
}

class ConfigReader {
 public:
  explicit ConfigReader(const std::string& name) : name_(name) {}

  Result<std::vector<FileEntry>> read(const toml::table& root) {
    // A table of the library is sorted by name; errors should come in the order of the lines.
    std::vector<std::pair<const toml::key*, const toml::node*>> nodes;
    for (const auto& [key, node] : root) nodes.emplace_back(&key, &node);
    sort_by_line(nodes);
    for (const auto& [key, node] : nodes) HEARTH_RETURN_IF_ERROR(read_section(*key, *node));
    return std::move(entries_);
  }

 private:
  using Nodes = std::vector<std::pair<const toml::key*, const toml::node*>>;

  static void sort_by_line(Nodes& nodes) {
    std::ranges::stable_sort(nodes, {},
                             [](const auto& pair) { return pair.first->source().begin.line; });
  }

  [[nodiscard]] std::unexpected<Error> refuse(const toml::key& key, const std::string& why) const {
    return fail(ErrorCode::kInvalidArgument,
                name_ + ":" + std::to_string(key.source().begin.line) + ": " + why,
                std::string(key.str()));
  }

  Status read_section(const toml::key& key, const toml::node& node) {
    const std::string section(key.str());
    const auto* table = node.as_table();
    if (table == nullptr) {
      std::string hint;
      for (const SectionRow& row : option_sections()) {
        if (find_by_key(row.name, section) != nullptr)
          hint = "; did you mean it in [" + std::string(row.name) + "]?";
      }
      return refuse(key, "key '" + section + "' stands outside of a section" + hint);
    }
    if (!is_section(section)) return refuse(key, "unknown section [" + section + "]");
    Nodes nodes;
    for (const auto& [name, value] : *table) nodes.emplace_back(&name, &value);
    sort_by_line(nodes);
    for (const auto& [name, value] : nodes)
      HEARTH_RETURN_IF_ERROR(read_entry(section, *name, *value));
    return {};
  }

  Status read_entry(const std::string& section, const toml::key& key, const toml::node& node) {
    const std::string full = section + "." + std::string(key.str());
    const OptionRow* row = find_by_key(section, key.str());
    if (row == nullptr) return refuse(key, "unknown key '" + full + "'");
    auto values = values_of(*row, node);
    if (!values) return refuse(key, "'" + full + "' must be " + std::string(kind_of(*row)));
    entries_.push_back({row, std::move(*values), place(name_, node)});
    return {};
  }

  const std::string& name_;
  std::vector<FileEntry> entries_;
};

}  // namespace

Result<std::vector<FileEntry>> parse_config(std::string_view text, const std::string& name) {
  try {
    const toml::table root = toml::parse(text, name);
    return ConfigReader(name).read(root);
  } catch (const toml::parse_error& error) {
    return fail(ErrorCode::kMalformed,
                name + ":" + std::to_string(error.source().begin.line) + ": " +
                    std::string(error.description()),
                "--config");
  }
}

Result<std::vector<FileEntry>> read_config(const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(const std::string text,
                          read_small_file(path, kMaxConfigBytes, "--config"));
  return parse_config(text, path);
}

}  // namespace hearth
