#pragma once
// A step's launches as a CUDA graph.

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>

#include "kernels/cuda/op_context.h"
#include "kernels/cuda/step_records.h"

namespace hearth::kernels {

/// Calls `ops`, whose launches on the context's stream become a graph and do not run. Null, after a
/// line in the log that names the call, if the device refuses.
std::unique_ptr<StepRecord> capture_step(simt::OpContext& op, const std::function<void()>& ops);

}  // namespace hearth::kernels
