#pragma once
// A synthetic model in a temporary file, removed when the program ends.

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

#include "engine/synth/synthetic_model.h"

namespace hearth::testing {

/// The path of a tiny model of that architecture and type; written on first use.
inline std::filesystem::path tiny_model(const std::string& arch = "llama",
                                        const std::string& type = "f32") {
  struct Files {
    std::map<std::string, std::filesystem::path> paths;
    std::filesystem::path folder;
    Files() {
      std::string name = (std::filesystem::temp_directory_path() / "hearth-test-XXXXXX").string();
      if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
      folder = name;
    }
    ~Files() { std::filesystem::remove_all(folder); }
  };
  static Files files;
  const std::string key = arch + "-" + type;
  if (const auto it = files.paths.find(key); it != files.paths.end()) return it->second;
  const auto options = synth_preset("tiny", arch, type);
  if (!options.has_value()) throw std::runtime_error(options.error().message);
  const std::filesystem::path path = files.folder / (key + ".gguf");
  const Status status = write_synthetic_model(*options, path);
  if (!status.has_value()) throw std::runtime_error(status.error().message);
  return files.paths[key] = path;
}

}  // namespace hearth::testing
