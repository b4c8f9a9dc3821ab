#include "engine/model/architecture.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>

#include "engine/gguf/quote.h"

namespace hearth {

// One declaration and one entry per file of engine/model/arch; the list is written by CMake.
#define HEARTH_ARCHITECTURE(name) Architecture architecture_##name();
#include "engine/model/architectures.inc"
#undef HEARTH_ARCHITECTURE

const std::vector<Architecture>& architectures() {
  static const std::vector<Architecture> all = [] {
    std::vector<Architecture> list = {
#define HEARTH_ARCHITECTURE(name) architecture_##name(),
#include "engine/model/architectures.inc"
#undef HEARTH_ARCHITECTURE
    };
    std::ranges::sort(list, {}, &Architecture::name);
    return list;
  }();
  return all;
}

Result<ModelConfig> read_model_config(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(const std::string_view name,
                          file.metadata().string("general.architecture"));
  std::string known;
  for (const Architecture& architecture : architectures()) {
    if (architecture.name == name) return architecture.read_config(file);
    known += (known.empty() ? "" : ", ") + std::string(architecture.name);
  }
  return fail(ErrorCode::kUnsupported,
              fmt::format("{}: general.architecture is {}, known are {}",
                          file.path().filename().string(), quote_foreign(name), known),
              "general.architecture");
}

}  // namespace hearth
