#pragma once
// Engines whose last layers are on a device: the emulator, or, where HEARTH_TEST_DEVICE is "gpu",
// this machine's GPU.

#include <doctest/doctest.h>

#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/evaluate/evaluator.h"
#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/emulator/emulated_device.h"

namespace hearth::testing {

inline constexpr GpuLayers kAll{GpuLayers::Kind::kAll, 0};

inline GpuLayers layers(int32_t count) { return {GpuLayers::Kind::kCount, count}; }

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

/// The same on `count` devices, the first ones of this machine if it has so many. In the emulator
/// none can touch the memory of another. `parts`: for --split; empty: by free memory.
inline EngineOptions on_devices(EngineOptions options, GpuLayers layers, int32_t count,
                                std::vector<double> parts = {}) {
  options.gpu_layers = layers;
  options.gpu_count = count;
  options.devices.indices.clear();
  for (int32_t i = 0; i < count; ++i) options.devices.indices.push_back(i);
  options.split.parts = std::move(parts);
  const char* device = std::getenv("HEARTH_TEST_DEVICE");
  if (device != nullptr && std::string_view(device) == "gpu" &&
      kernels::cuda_device_count() >= count)
    return options;
  options.open_gpu = [](int32_t index) -> Result<std::unique_ptr<kernels::Device>> {
    return kernels::make_emulated_device({.index = index, .isolated = true});
  };
  return options;
}

/// Logits of all positions of a text of nine tokens, in steps of `chunk`.
inline std::vector<float> logits_of(const EngineOptions& options, int32_t chunk) {
  auto evaluator = Evaluator::load(options);
  REQUIRE_MESSAGE(evaluator.has_value(), (evaluator.has_value() ? "" : evaluator.error().message));
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 9; ++i) tokens.push_back(i * 37 % 300);
  const auto logits = (*evaluator)->logits(tokens, chunk);
  REQUIRE(logits.has_value());
  return *logits;
}

}  // namespace hearth::testing
