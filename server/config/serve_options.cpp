#include "server/config/serve_options.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "base/check.h"
#include "server/config/config_file.h"
#include "server/config/option_table.h"

namespace hearth {
namespace {

constexpr std::string_view kPrefix = "HEARTH_";

/// What one source says about one option.
struct Setting {
  const OptionRow* row;
  std::vector<std::string> values;
  std::string origin;
};

struct Flags {
  std::vector<Setting> settings;
  bool help = false;
};

std::unexpected<Error> refuse(const std::string& message, std::string_view option) {
  return fail(ErrorCode::kInvalidArgument, message, std::string(option));
}

Setting* find_setting(std::vector<Setting>& settings, const OptionRow* row) {
  const auto found = std::ranges::find(settings, row, &Setting::row);
  return found == settings.end() ? nullptr : &*found;
}

/// Reads the value of `row` for the flag at args[at]; moves `at` to the last argument used.
Result<std::string> flag_value(const OptionRow& row, std::span<const std::string> args, size_t& at,
                               std::optional<std::string> inline_value) {
  if (inline_value) return std::move(*inline_value);
  if (row.is_switch()) return std::string("true");
  const std::string& flag = args[at];
  // The next argument is the value, even if it begins with '-', unless it is a flag itself.
  if (at + 1 == args.size() || find_by_flag(args[at + 1]) != nullptr)
    return refuse(flag + ": a value is missing; expected " + std::string(row.value_name), row.flag);
  return args[++at];
}

Result<Flags> read_flags(std::span<const std::string> args) {
  Flags flags;
  for (size_t at = 0; at < args.size(); ++at) {
    const std::string& argument = args[at];
    if (argument == "--help" || argument == "-h") {
      flags.help = true;
      continue;
    }
    const size_t equals = argument.starts_with("--") ? argument.find('=') : std::string::npos;
    const std::string flag = argument.substr(0, equals);
    const OptionRow* row = find_by_flag(flag);
    if (row == nullptr) {
      const std::string what =
          argument.starts_with('-') ? "unknown option " : "unexpected argument ";
      return refuse(what + "'" + flag + "'; --help lists the options", flag);
    }
    std::optional<std::string> inline_value;
    if (equals != std::string::npos) inline_value = argument.substr(equals + 1);
    HEARTH_ASSIGN_OR_RETURN(std::string value, flag_value(*row, args, at, std::move(inline_value)));
    if (Setting* earlier = find_setting(flags.settings, row); earlier == nullptr) {
      flags.settings.push_back({row, {std::move(value)}, flag});
    } else if (row->is_list()) {
      earlier->values.push_back(std::move(value));
    } else {
      return refuse(flag + " was given more than once", row->flag);
    }
  }
  return flags;
}

/// Lists are separated by commas in a variable.
std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> items;
  while (true) {
    const size_t comma = std::min(text.find(','), text.size());
    items.emplace_back(text.substr(0, comma));
    if (comma == text.size()) return items;
    text.remove_prefix(comma + 1);
  }
}

/// Variables that are not for us go to `ignored`. The environment is shared: Kubernetes, for one,
/// gives every pod beside a service named hearth HEARTH_SERVICE_HOST and HEARTH_PORT=tcp://….
Result<std::vector<Setting>> read_environment(const Environment& environment,
                                              std::vector<std::string>& ignored) {
  std::vector<Setting> settings;
  for (const auto& [name, value] : environment) {
    if (!name.starts_with(kPrefix)) continue;
    if (name == "HEARTH_GPU_WITHOUT") continue;  // no option: docs/gpu.md
    const OptionRow* row = find_by_variable(name);
    if (row == nullptr) {
      ignored.push_back(name + ": no option has this variable");
      continue;
    }
    if (name == "HEARTH_PORT" && value.starts_with("tcp://")) {
      ignored.push_back(name + " is the address of a service, not a port");
      continue;
    }
    if (value.empty()) return refuse(name + " is empty; unset it or give it a value", row->flag);
    settings.push_back(
        {row, row->is_list() ? split_list(value) : std::vector<std::string>{value}, name});
  }
  return settings;
}

/// The file named by the flag, else by the variable; empty if by none.
const Setting* find_config(std::vector<Setting>& flags, std::vector<Setting>& variables) {
  const OptionRow* row = find_by_flag("--config");
  const Setting* setting = find_setting(flags, row);
  return setting != nullptr ? setting : find_setting(variables, row);
}

Result<std::vector<Setting>> read_file(const Setting* config) {
  std::vector<Setting> settings;
  if (config == nullptr || config->values[0].empty()) return settings;
  HEARTH_ASSIGN_OR_RETURN(auto entries, read_config(config->values[0]));
  for (FileEntry& entry : entries)
    settings.push_back({entry.row, std::move(entry.values), std::move(entry.origin)});
  return settings;
}

/// The start of messages: a place in a file does not say which key, so it is added.
std::string describe(const Setting& setting) {
  const OptionRow& row = *setting.row;
  if (setting.origin == row.variable || find_by_flag(setting.origin) == &row) return setting.origin;
  return setting.origin + ": " + std::string(row.section) + "." + std::string(row.key);
}

}  // namespace

Environment hearth_environment() {
  Environment out;
  for (char** entry = ::environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (!text.starts_with(kPrefix)) continue;
    const size_t equals = std::min(text.find('='), text.size());
    out[std::string(text.substr(0, equals))] =
        std::string(text.substr(std::min(equals + 1, text.size())));
  }
  return out;
}

ServeOptions default_serve_options() {
  ServeOptions options;
  for (const OptionRow& row : option_table()) {
    if (row.is_list()) continue;  // all are empty
    const std::string value(row.default_text);
    const Status set = set_option(row, {&value, 1}, std::string(row.flag), options);
    HEARTH_CHECK(set.has_value(), "a default of the table is not within its own range");
  }
  return options;
}

Result<ServeCommandLine> parse_serve_options(std::span<const std::string> args,
                                             const Environment& environment) {
  ServeCommandLine out;
  out.options = default_serve_options();
  HEARTH_ASSIGN_OR_RETURN(Flags flags, read_flags(args));
  out.help = flags.help;
  if (out.help) return out;
  HEARTH_ASSIGN_OR_RETURN(auto variables, read_environment(environment, out.ignored));
  HEARTH_ASSIGN_OR_RETURN(auto file, read_file(find_config(flags.settings, variables)));
  // From weak to strong. A weaker value is checked too: an error in the file should not wait for
  // the day on which the flag is left out.
  for (const auto* source : {&file, &variables, &flags.settings}) {
    for (const Setting& setting : *source) {
      HEARTH_RETURN_IF_ERROR(
          set_option(*setting.row, setting.values, describe(setting), out.options));
      out.origins[std::string(setting.row->flag)] = setting.origin;
    }
  }
  return out;
}

}  // namespace hearth
