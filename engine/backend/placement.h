#pragma once

#include <cstdint>

#include "engine/backend/weights_exchange.h"
#include "kernels/device.h"

namespace hearth {

/// Which layers are where: [0, first_device_layer) on the CPU; the others, with their KV pages, and
/// the output on the device. Embeddings are looked up on the CPU: the stream crosses once a step.
struct Placement {
  kernels::Device* device = nullptr;  // null: all on the CPU
  int32_t first_device_layer = 0;     // counts where there is a device
  WeightsSource weights = {};         // of the device's layers

  [[nodiscard]] int32_t host_layers(int32_t num_layers) const {
    return device == nullptr ? num_layers : first_device_layer;
  }
};

}  // namespace hearth
