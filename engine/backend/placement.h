#pragma once

#include <cstdint>
#include <vector>

#include "engine/backend/weights_exchange.h"
#include "kernels/device.h"

namespace hearth {

/// Consecutive layers of a model, and whether its output (final norm and output matrix) is with
/// them.
struct LayerRange {
  int32_t first_layer = 0;
  int32_t num_layers = 0;
  bool has_output = false;

  [[nodiscard]] int32_t end() const { return first_layer + num_layers; }
  bool operator==(const LayerRange&) const = default;
};

/// A range of layers on a device.
struct DeviceRange {
  kernels::Device* device = nullptr;
  LayerRange layers;
};

/// Which layers are where: the first ones on the CPU, the others on the devices in their order,
/// each with its KV pages; the output with the last of them. Embeddings are looked up on the CPU:
/// the stream crosses each border once a step.
struct Placement {
  std::vector<DeviceRange> devices;  // empty: all on the CPU. None is without layers.
  /// The KV pages of the devices' layers are in host memory, and attention is computed there.
  bool kv_on_host = false;
  WeightsSource weights = {};  // of the devices' layers

  [[nodiscard]] int32_t host_layers(int32_t num_layers) const {
    return devices.empty() ? num_layers : devices.front().layers.first_layer;
  }
};

}  // namespace hearth
