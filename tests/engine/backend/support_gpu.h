#pragma once
// Engines whose last layers are on a device: the emulator, or, where HEARTH_TEST_DEVICE is "gpu",
// this machine's GPU.

#include <cstdlib>
#include <string_view>

#include "engine/engine.h"
#include "kernels/cuda/emulator/emulated_device.h"

namespace hearth::testing {

/// Options with `layers` layers on the device under test.
inline EngineOptions on_device(EngineOptions options, GpuLayers layers) {
  options.gpu_layers = layers;
  const char* device = std::getenv("HEARTH_TEST_DEVICE");
  if (device != nullptr && std::string_view(device) == "gpu") return options;
  options.open_gpu = [](int32_t) -> Result<std::unique_ptr<kernels::Device>> {
    return kernels::make_emulated_device();
  };
  return options;
}

}  // namespace hearth::testing
