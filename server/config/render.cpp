// What people read, made from the option table: --help and config/hearth.toml.

#include <algorithm>
#include <string>
#include <string_view>

#include "server/config/option_table.h"
#include "server/config/serve_options.h"

namespace hearth {
namespace {

constexpr size_t kLineBytes = 96;
constexpr size_t kHelpColumn = 28;

/// Appends the words of `text`, each line after `indent` and none longer than kLineBytes if its
/// words allow.
void append_wrapped(std::string& out, std::string_view text, const std::string& indent) {
  std::string line = indent;
  while (!text.empty()) {
    const size_t space = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, space);
    if (line.size() > indent.size() && line.size() + 1 + word.size() > kLineBytes) {
      out.append(line).append("\n");
      line = indent;
    }
    if (line.size() > indent.size()) line += ' ';
    line.append(word);
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  out.append(line).append("\n");
}

/// "From 1 to 64. Default 8."
std::string limits_of(const OptionRow& row) {
  std::string text;
  if (row.is_number())
    text.append("From ")
        .append(std::to_string(row.min))
        .append(" to ")
        .append(std::to_string(row.max))
        .append(". ");
  if (!row.default_text.empty() && !row.is_switch())
    text.append("Default ").append(row.default_text).append(".");
  while (text.ends_with(' ')) text.pop_back();
  return text;
}

std::string full_help(const OptionRow& row) {
  std::string text(row.help);
  if (const std::string limits = limits_of(row); !limits.empty()) text.append(" ").append(limits);
  return text;
}

std::string flags_of(const OptionRow& row) {
  std::string text = "  ";
  if (!row.short_flag.empty()) text.append(row.short_flag).append(", ");
  text.append(row.flag);
  if (!row.alias.empty()) text.append(", ").append(row.alias);
  if (!row.value_name.empty()) text.append(" ").append(row.value_name);
  return text;
}

void append_help(std::string& out, const OptionRow& row) {
  const std::string flags = flags_of(row);
  const std::string indent(kHelpColumn, ' ');
  std::string body;
  std::string help = full_help(row);
  append_wrapped(body, help.append(" [").append(row.variable).append("]"), indent);
  if (flags.size() + 2 <= kHelpColumn) {
    body.replace(0, flags.size(), flags);
  } else {
    out.append(flags).append("\n");
  }
  out.append(body);
}

std::string toml_default(const OptionRow& row) {
  if (row.is_list()) return "[]";
  if (row.is_number() || row.is_switch()) return std::string(row.default_text);
  return std::string("\"").append(row.default_text).append("\"");
}

void append_toml(std::string& out, const OptionRow& row) {
  append_wrapped(out, full_help(row), "# ");
  std::string names(row.flag);
  if (!row.short_flag.empty()) names.append(", ").append(row.short_flag);
  names.append(", ").append(row.variable);
  if (row.value_name.find('|') != std::string_view::npos) names.append(": ").append(row.value_name);
  append_wrapped(out, names, "# ");
  out.append("#").append(row.key).append(" = ").append(toml_default(row)).append("\n\n");
}

}  // namespace

std::string render_serve_help() {
  std::string out =
      "usage: hearth serve [OPTIONS]\n\n"
      "Serves a language model over HTTP with OpenAI's REST API. Each option can be a flag, the\n"
      "variable in brackets, or a key of the file named by --config; the first that is given "
      "wins.\n";
  for (const SectionRow& section : option_sections()) {
    out.append("\n").append(section.title).append("\n");
    if (section.name.empty()) out.append("  -h, --help                Shows this text.\n");
    for (const OptionRow& row : option_table()) {
      if (row.section == section.name) append_help(out, row);
    }
  }
  return out;
}

std::string render_default_toml() {
  std::string out =
      "# Options of `hearth serve`, each at its default. Use it with: hearth serve --config FILE\n"
      "# Flags win over variables, variables over this file. Unknown keys are errors.\n\n";
  for (const SectionRow& section : option_sections()) {
    if (section.name.empty()) continue;
    out.append("[").append(section.name).append("]\n\n");
    for (const OptionRow& row : option_table()) {
      if (row.section == section.name) append_toml(out, row);
    }
  }
  out.pop_back();
  return out;
}

}  // namespace hearth
