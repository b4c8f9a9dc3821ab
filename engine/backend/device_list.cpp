#include "engine/backend/device_list.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

namespace hearth {
namespace {

constexpr size_t kMostDevices = 64;
constexpr double kLargestPart = 1e9;

std::vector<std::string_view> items_of(std::string_view text) {
  std::vector<std::string_view> items;
  while (true) {
    const size_t comma = std::min(text.find(','), text.size());
    items.push_back(text.substr(0, comma));
    if (comma == text.size()) return items;
    text.remove_prefix(comma + 1);
  }
}

template <typename T>
std::optional<T> number_of(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::unexpected<Error> refuse(std::string message) {
  return fail(ErrorCode::kInvalidArgument, std::move(message));
}

}  // namespace

std::string DeviceList::text() const {
  return all ? "all" : fmt::format("{}", fmt::join(indices, ","));
}

Result<DeviceList> DeviceList::parse(std::string_view text) {
  DeviceList list;
  list.indices.clear();
  list.all = text == "all";
  if (list.all) return list;
  for (const std::string_view item : items_of(text)) {
    const auto index = number_of<int32_t>(item);
    if (!index || *index < 0 || *index >= static_cast<int32_t>(kMostDevices))
      return refuse(fmt::format("'{}' is not all or numbers of GPUs from 0 to {}, as 0,1",
                                text.substr(0, 100), kMostDevices - 1));
    if (std::ranges::find(list.indices, *index) != list.indices.end())
      return refuse(fmt::format("'{}' names GPU {} twice", text.substr(0, 100), *index));
    list.indices.push_back(*index);
  }
  return list;
}

std::string GpuSplit::text() const {
  return parts.empty() ? "auto" : fmt::format("{}", fmt::join(parts, ","));
}

Result<GpuSplit> GpuSplit::parse(std::string_view text) {
  GpuSplit split;
  if (text == "auto") return split;
  for (const std::string_view item : items_of(text)) {
    const auto part = number_of<double>(item);
    if (!part || !std::isfinite(*part))
      return refuse(
          fmt::format("'{}' is not auto or a number for each GPU, as 3,1", text.substr(0, 100)));
    if (*part <= 0.0 || *part > kLargestPart)
      return refuse(
          fmt::format("'{}' has the part {}: each must be above 0 and at most {:.0f}; a GPU "
                      "without layers is left out of --device",
                      text.substr(0, 100), item, kLargestPart));
    split.parts.push_back(*part);
  }
  if (split.parts.size() > kMostDevices)
    return refuse(fmt::format("{} parts are more than {} GPUs", split.parts.size(), kMostDevices));
  return split;
}

}  // namespace hearth
