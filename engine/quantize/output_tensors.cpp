#include "engine/quantize/output_tensors.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "engine/gguf/quote.h"

namespace hearth {
namespace {

struct ExpertName {
  std::string stack;
  size_t expert;
};

/// The pieces of "blk.0.ffn_up.7.weight"; nothing for any other name.
std::optional<ExpertName> parse_expert(std::string_view name) {
  constexpr std::string_view kSuffix = ".weight";
  if (!name.starts_with("blk.") || !name.ends_with(kSuffix)) return std::nullopt;
  const std::string_view stem = name.substr(0, name.size() - kSuffix.size());
  const size_t dot = stem.rfind('.');
  const std::string_view matrix = stem.substr(0, dot);
  if (!matrix.ends_with(".ffn_gate") && !matrix.ends_with(".ffn_up") &&
      !matrix.ends_with(".ffn_down"))
    return std::nullopt;
  size_t expert = 0;
  const char* end = stem.data() + stem.size();
  const auto [after, error] = std::from_chars(stem.data() + dot + 1, end, expert);
  if (error != std::errc() || after != end) return std::nullopt;
  return ExpertName{std::string(matrix) + "_exps.weight", expert};
}

using Experts = std::vector<std::pair<size_t, const TensorInfo*>>;

Status finish_stack(const ModelFile& file, Experts experts, OutputTensor& out) {
  std::ranges::sort(experts);
  const auto malformed = [&](const TensorInfo& tensor, const std::string& expected) {
    return fail(ErrorCode::kMalformed, quote_foreign(file.path().string()) + ": tensor " +
                                           quote_foreign(tensor.name) + ": expected " + expected);
  };
  const TensorInfo& first = *experts.front().second;
  if (first.num_dims != 2) return malformed(first, "two dimensions");
  if (file.find_tensor(out.name) != nullptr)
    return malformed(first, "no " + quote_foreign(out.name) + " beside it");
  for (size_t i = 0; i < experts.size(); ++i) {
    const TensorInfo& tensor = *experts[i].second;
    if (experts[i].first != i)
      return malformed(tensor, "expert " + std::to_string(i) + " before it");
    if (tensor.num_dims != 2 || tensor.dims != first.dims || tensor.dtype != first.dtype)
      return malformed(tensor, "the shape and type of " + quote_foreign(first.name));
    out.parts.push_back(&tensor);
  }
  out.num_dims = 3;
  out.dims = first.dims;
  out.dims[2] = static_cast<int64_t>(experts.size());
  return {};
}

}  // namespace

Result<std::vector<OutputTensor>> output_tensors(const ModelFile& file) {
  std::vector<OutputTensor> out;
  std::unordered_map<std::string, Experts> stacks;
  for (const TensorInfo& tensor : file.tensors()) {
    if (auto expert = parse_expert(tensor.name)) {
      Experts& experts = stacks[expert->stack];
      if (experts.empty()) out.push_back({.name = expert->stack, .parts = {}});
      experts.emplace_back(expert->expert, &tensor);
    } else {
      out.push_back({std::string(tensor.name), tensor.num_dims, tensor.dims, {&tensor}});
    }
  }
  for (OutputTensor& tensor : out) {
    if (!tensor.parts.empty()) continue;
    HEARTH_RETURN_IF_ERROR(finish_stack(file, std::move(stacks[tensor.name]), tensor));
  }
  return out;
}

}  // namespace hearth
