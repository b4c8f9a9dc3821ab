#pragma once

#include <filesystem>

namespace hearth {

/// Where the model that is used without -m lies: hearth-tiny.gguf beside the binary (a build
/// folder), else in ../share/hearth (an installation). The file need not exist.
std::filesystem::path builtin_model_path();

}  // namespace hearth
