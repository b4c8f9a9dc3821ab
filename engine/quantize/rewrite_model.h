#pragma once
// Writes a model of any format that ModelFile opens as one GGUF file, quantized or with the types
// it has: `hearth quantize` and `hearth convert`.

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/gguf/model_file.h"
#include "engine/quantize/quantize_target.h"

namespace hearth {

struct RewriteOptions {
  const QuantizeTarget* target = nullptr;  // null: every tensor keeps its type
  int threads = 0;                         // 0: one for each usable CPU
};

struct RewriteReport {
  struct Share {
    int64_t tensors = 0;
    uint64_t bytes = 0;
  };
  std::map<std::string, Share> types;  // by type name
  int64_t weights = 0;                 // values of all tensors
  uint64_t file_bytes = 0;
  /// What the user should know, a line each: rows that do not fit the type, weights that had been
  /// rounded before.
  std::vector<std::string> notes;
};

/// Reads `in` from its mapping and writes `out` row by row, under a temporary name until complete.
/// `out` may exist, but must not be (part of) the input. Errors: kInvalidArgument for `out`,
/// kUnsupported for weights that the type cannot hold (naming the tensor), kIo.
Result<RewriteReport> rewrite_model(const ModelFile& in, const std::filesystem::path& out,
                                    const RewriteOptions& options);

}  // namespace hearth
