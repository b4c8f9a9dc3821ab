#pragma once
// What `hearth inspect` knows about a model: collected here, printed by the command.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/gguf/model_file.h"
#include "engine/memory_plan.h"

namespace hearth {

/// Tensors of one kind together: a type, or a layer.
struct TensorSum {
  uint64_t tensors = 0;
  uint64_t bytes = 0;
  uint64_t resident = 0;  // 0 unless asked for
};

struct InspectReport {
  TensorSum total;
  uint64_t parameters = 0;
  std::map<std::string, TensorSum> types;  // by the types' names
  /// "embedding", "layer 0", …, "output", in the order of the forward pass.
  std::vector<std::pair<std::string, TensorSum>> layers;
  std::vector<uint64_t> resident;  // of each tensor of the file, if asked for
  uint64_t file_resident = 0;      // of all mappings, metadata too
  bool has_residency = false;
};

/// Sums over the file's tensors; with `residency` also what of each is in the page cache.
Result<InspectReport> make_inspect_report(const ModelFile& file, bool residency);

/// "1.3 GiB", "12 KiB", "17 B".
std::string readable_bytes(uint64_t bytes);
/// [4096, 11008]: the fastest dimension first.
std::string readable_shape(const TensorInfo& tensor);
/// A metadata value on one line: long texts are cut, arrays told by type and length.
std::string readable_value(const MetaValue& value);

}  // namespace hearth
