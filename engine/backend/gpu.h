#pragma once
// The GPU that an engine was asked to use.

#include <memory>
#include <optional>

#include "engine/engine.h"
#include "engine/model/model.h"
#include "kernels/device.h"

namespace hearth {

struct Gpu {
  std::unique_ptr<kernels::Device> device;
  GpuOffer offer;
};

/// What a GPU with this memory offers to workers that may use `budget_bytes` of it; 0: nine tenths
/// of what is free. `sharers`: so many workers on one copy of the weights, or 0: one worker that
/// has its own.
GpuOffer make_offer(const kernels::DeviceInfo& info, uint64_t budget_bytes, int32_t sharers,
                    const Model& model);

/// Opens the GPU that options.gpu_layers wants: none if it is 0 layers, or auto and there is none,
/// which is logged. kUnsupported, naming the option and the reason, if layers were demanded and no
/// GPU can be used.
Result<std::optional<Gpu>> open_gpu(const EngineOptions& options, const Model& model);

/// Why a demand for layers on a GPU cannot be met.
Error no_gpu_error(const GpuLayers& layers, const std::string& reason);

/// Where `plan` puts the layers.
Placement placement_of(const MemoryPlan& plan, kernels::Device* device);

}  // namespace hearth
