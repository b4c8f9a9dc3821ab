// A configuration file as anybody may have written it: an error with its place, or values that the
// table accepts or refuses by name.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "server/config/config_file.h"
#include "server/config/option_table.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto entries = hearth::parse_config(text, "fuzz.toml");
  if (!entries) {
    HEARTH_CHECK(entries.error().message.starts_with("fuzz.toml:"), "an error without a place");
    return 0;
  }
  hearth::ServeOptions options = hearth::default_serve_options();
  for (const hearth::FileEntry& entry : *entries) {
    const auto set = hearth::set_option(*entry.row, entry.values, entry.origin, options);
    HEARTH_CHECK(set || set.error().param == entry.row->flag, "an error without its option");
  }
  HEARTH_CHECK(options.port >= 0 && options.port <= 65'535, "a port out of range");
  HEARTH_CHECK(options.parallel >= 0 && options.parallel <= 4096, "parallel out of range");
  return 0;
}
