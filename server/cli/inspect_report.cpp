#include "server/cli/inspect_report.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "engine/gguf/quote.h"
#include "engine/gguf/residency.h"

namespace hearth {
namespace {

constexpr std::string_view kBlock = "blk.";

/// Where a tensor stands in the forward pass: -1 before the layers, the layer, or past them.
int64_t place_of(std::string_view name) {
  constexpr int64_t kBehind = INT64_MAX;
  if (!name.starts_with(kBlock)) return name.starts_with("output") ? kBehind : -1;
  int64_t layer = -1;
  name.remove_prefix(kBlock.size());
  std::from_chars(name.data(), name.data() + name.size(), layer);
  return layer;
}

std::string place_name(int64_t place) {
  if (place < 0) return "embedding";
  return place == INT64_MAX ? "output" : fmt::format("layer {}", place);
}

void add(TensorSum& sum, const TensorInfo& tensor, uint64_t resident) {
  ++sum.tensors;
  sum.bytes += tensor.bytes;
  sum.resident += resident;
}

bool is_mapped(const ModelFile& file, const TensorInfo& tensor) {
  return std::ranges::any_of(file.mappings(), [&](std::span<const std::byte> mapping) {
    return tensor.data >= mapping.data() && tensor.data < mapping.data() + mapping.size();
  });
}

std::string_view type_name(MetaType type) {
  constexpr std::array<std::string_view, 13> kNames = {"u8",  "i8",  "u16",  "i16",    "u32",
                                                       "i32", "f32", "bool", "string", "array",
                                                       "u64", "i64", "f64"};
  return kNames[static_cast<size_t>(type)];
}

}  // namespace

Result<InspectReport> make_inspect_report(const ModelFile& file, bool residency) {
  InspectReport report;
  report.has_residency = residency;
  std::map<int64_t, TensorSum> places;
  for (const TensorInfo& tensor : file.tensors()) {
    uint64_t resident = 0;
    if (residency) {
      // A vector that was copied is in memory, whatever the page cache holds.
      resident = tensor.bytes;
      if (is_mapped(file, tensor)) {
        HEARTH_ASSIGN_OR_RETURN(resident, resident_bytes({tensor.data, tensor.bytes}));
      }
      report.resident.push_back(resident);
    }
    add(report.total, tensor, resident);
    add(report.types[std::string(dtype_info(tensor.dtype).name)], tensor, resident);
    add(places[place_of(tensor.name)], tensor, resident);
    uint64_t values = 1;
    for (const int64_t dim : tensor.dims) values *= static_cast<uint64_t>(dim);
    report.parameters += values;
  }
  for (const auto& [place, sum] : places) report.layers.emplace_back(place_name(place), sum);
  for (const auto mapping : file.mappings()) {
    if (!residency) break;
    HEARTH_ASSIGN_OR_RETURN(const uint64_t resident, resident_bytes(mapping));
    report.file_resident += resident;
  }
  return report;
}

std::string readable_bytes(uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024.0 && unit + 1 < kUnits.size(); ++unit) value /= 1024.0;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string readable_shape(const TensorInfo& tensor) {
  std::string out;
  for (uint32_t d = 0; d < tensor.num_dims; ++d)
    out += (d == 0 ? "[" : ", ") + std::to_string(tensor.dims[d]);
  return out + "]";
}

std::string readable_value(const MetaValue& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) return quote_foreign(*text);
  if (const auto* array = std::get_if<MetaArray>(&value))
    return fmt::format("[{} × {}]", array->count, type_name(array->element_type));
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* real = std::get_if<double>(&value)) return fmt::format("{:.9g}", *real);
  if (const auto* whole = std::get_if<uint64_t>(&value)) return std::to_string(*whole);
  return std::to_string(std::get<int64_t>(value));
}

}  // namespace hearth
