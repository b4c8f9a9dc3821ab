#include "engine/backend/layer_split.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace hearth {
namespace {

LayerSplit ranges_of(int32_t first_layer, std::span<const int32_t> counts) {
  LayerSplit split;
  for (const int32_t count : counts) {
    split.push_back({.first_layer = first_layer, .num_layers = count});
    first_layer += count;
  }
  const auto last = std::ranges::find_if(
      split.rbegin(), split.rend(), [](const LayerRange& range) { return range.num_layers > 0; });
  if (last != split.rend()) last->has_output = true;
  return split;
}

}  // namespace

LayerSplit split_by_parts(int32_t first_layer, int32_t num_layers, std::span<const double> parts) {
  const int32_t layers = num_layers - first_layer;
  const double sum = std::accumulate(parts.begin(), parts.end(), 0.0);
  std::vector<int32_t> counts;
  std::vector<double> remainders;
  for (const double part : parts) {
    // Rounding must not take a layer from a share that is a whole number.
    const double share = layers * part / sum;
    const double whole = std::floor(share + 1e-9);
    counts.push_back(static_cast<int32_t>(whole));
    remainders.push_back(share - whole);
  }
  std::vector<size_t> order(parts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, std::greater(), [&](size_t i) { return remainders[i]; });
  const int32_t given = std::accumulate(counts.begin(), counts.end(), 0);
  for (size_t i = 0; i < static_cast<size_t>(layers - given); ++i)
    ++counts[order[i % order.size()]];
  return ranges_of(first_layer, counts);
}

std::optional<LayerSplit> split_if_held(int32_t first_layer, int32_t num_layers, size_t devices,
                                        const Holds& holds) {
  std::vector<int32_t> counts(devices, 0);
  int32_t end = num_layers;
  for (size_t device = devices; device-- > 0;) {
    const bool has_output = end == num_layers;
    while (end - counts[device] > first_layer) {
      const int32_t count = counts[device] + 1;
      if (!holds(device,
                 {.first_layer = end - count, .num_layers = count, .has_output = has_output}))
        break;
      counts[device] = count;
    }
    end -= counts[device];
  }
  if (end > first_layer) return std::nullopt;
  return ranges_of(first_layer, counts);
}

LayerSplit split_by_fill(int32_t first_layer, int32_t num_layers,
                         std::span<const uint64_t> budget_bytes,
                         const std::function<uint64_t(size_t, const LayerRange&)>& bytes) {
  const auto at_fill = [&](double fill) {
    return split_if_held(first_layer, num_layers, budget_bytes.size(),
                         [&](size_t device, const LayerRange& range) {
                           const auto budget = static_cast<double>(budget_bytes[device]);
                           return static_cast<double>(bytes(device, range)) <= fill * budget;
                         });
  };
  // What no fill holds, 2^64 bytes, has been refused before; a device of no bytes never holds.
  constexpr double kMost = 0x1p64;
  double fill = 1.0;
  std::optional<LayerSplit> best = at_fill(fill);
  while (!best && fill < kMost) best = at_fill(fill *= 2.0);
  if (!best) return split_by_parts(first_layer, num_layers, std::vector(budget_bytes.size(), 1.0));
  double least = fill > 1.0 ? fill / 2.0 : 0.0;
  for (int i = 0; i < 40; ++i) {
    const double middle = (least + fill) / 2.0;
    if (auto split = at_fill(middle)) {
      best = std::move(split);
      fill = middle;
    } else {
      least = middle;
    }
  }
  return *best;
}

}  // namespace hearth
