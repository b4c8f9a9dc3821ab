#pragma once
// Which layers the workers of a daemon put on the GPU, decided once: a request that moves from one
// worker to another must meet the same kernels, for the same bits.

#include <vector>

#include "engine/model/model.h"
#include "kernels/device.h"
#include "server/worker/worker_options.h"

namespace hearth {

/// The GPU as a short-lived process sees it: the gateway itself holds no CUDA context. Call before
/// there are threads.
Result<kernels::DeviceInfo> probe_gpu();

/// Resolves `layers` for all workers alike and shares the GPU's memory between them. `auto` without
/// a GPU is no layers, and a line in the log. kUnsupported if layers are demanded and there is no
/// GPU; kResourceExhausted if they do not fit, with the byte sums.
Status choose_gpu_layers(const GpuLayers& layers, std::vector<WorkerOptions>& workers);

}  // namespace hearth
