#pragma once
// One safetensors file: u64 length of the header, the header in JSON, tensor data.
//   {"NAME": {"dtype": "BF16", "shape": [rows, cols], "data_offsets": [begin, end]}, …}

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/gguf/metadata.h"
#include "engine/gguf/model_file.h"

namespace hearth {

/// The tensors of one file where they lie in `bytes`, dimensions fastest first. Names keep their
/// place in `bytes` or are stored in `keeper`. Types that Hearth reads are F32, F16 and BF16.
/// Errors (kMalformed, kUnsupported) are one line: file, tensor, field, value, expectation.
Result<std::vector<TensorInfo>> parse_safetensors(std::string_view file,
                                                  std::span<const std::byte> bytes,
                                                  Metadata& keeper);

}  // namespace hearth
