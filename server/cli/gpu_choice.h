#pragma once
// Which layers the workers of a daemon put on which GPU, decided once: a request that moves from
// one worker to another must meet the same kernels, for the same bits.

#include <vector>

#include "base/result.h"
#include "server/worker/worker_options.h"

namespace hearth {

/// Resolves what the workers' options, alike in all, say of GPUs: to numbers of layers, to the GPUs
/// that get some, and to their memory in equal shares. `auto` without a GPU is no layers, and a
/// line in the log. The GPUs are asked by a short-lived process: this one holds no CUDA context.
/// Call before there are threads. kUnsupported if layers are demanded and there is no GPU;
/// kInvalidArgument for GPUs and parts that do not match; kResourceExhausted if the layers do not
/// fit, with the byte sums.
Status choose_gpu_layers(std::vector<WorkerOptions>& workers);

}  // namespace hearth
