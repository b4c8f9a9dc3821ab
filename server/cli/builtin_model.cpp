#include "server/cli/builtin_model.h"

#include <system_error>

namespace hearth {

std::filesystem::path builtin_model_path() {
  constexpr const char* kName = "hearth-tiny.gguf";
  std::error_code error;
  const std::filesystem::path binary = std::filesystem::read_symlink("/proc/self/exe", error);
  std::filesystem::path beside = binary.parent_path() / kName;
  if (std::filesystem::exists(beside, error)) return beside;
  return binary.parent_path().parent_path() / "share" / "hearth" / kName;
}

}  // namespace hearth
