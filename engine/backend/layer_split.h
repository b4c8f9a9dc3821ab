#pragma once
// Which of a model's last layers go to which GPU.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "engine/backend/device_plan.h"
#include "engine/backend/placement.h"

namespace hearth {

/// A range for each device, in order; those without layers are empty, and the output is with the
/// last that is not.
using LayerSplit = std::vector<LayerRange>;

/// Shares layers [first_layer, num_layers) out in proportion to `parts`: each device gets its whole
/// share, and those with the largest remainders one more. Whole numbers that add up to the number
/// of layers are the numbers that come out.
LayerSplit split_by_parts(int32_t first_layer, int32_t num_layers, std::span<const double> parts);

/// Whether a device can hold a range; if so, it can hold any part of it.
using Holds = std::function<bool(size_t device, const LayerRange& range)>;

/// Gives each of `devices` devices, from the last to the first, as many of the layers
/// [first_layer, num_layers) as it can hold, the output to the last that can. Nothing if layers are
/// left over; then there is no split that holds.
std::optional<LayerSplit> split_if_held(int32_t first_layer, int32_t num_layers, size_t devices,
                                        const Holds& holds);

/// The split whose fullest device is the least full. `bytes` is what a device has to hold a range,
/// and does not fall when the range grows.
LayerSplit split_by_fill(int32_t first_layer, int32_t num_layers,
                         std::span<const uint64_t> budget_bytes,
                         const std::function<uint64_t(size_t device, const LayerRange&)>& bytes);

}  // namespace hearth
