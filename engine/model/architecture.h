#pragma once
// An architecture: how to read its description from metadata. Adding one is adding a file to
// engine/model/arch that defines architecture_NAME(); the build lists the folder.

#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/gguf/model_file.h"
#include "engine/model/model_config.h"

namespace hearth {

struct Architecture {
  std::string_view name;  // general.architecture
  Result<ModelConfig> (*read_config)(const ModelFile& file);
};

/// All architectures, in order of name.
const std::vector<Architecture>& architectures();

/// The description of the model in `file`. An unknown general.architecture is kUnsupported with
/// the list of known ones; missing or contradictory values are kMalformed naming the key.
Result<ModelConfig> read_model_config(const ModelFile& file);

}  // namespace hearth
