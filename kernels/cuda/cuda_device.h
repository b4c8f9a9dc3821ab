#pragma once
// NVIDIA GPUs. In a build without CUDA the functions are there and say so.

#include <memory>

#include "kernels/device.h"

namespace hearth::kernels {

/// What a process takes of a GPU beside its allocations: the driver's context, and kernels as they
/// are first used.
inline constexpr uint64_t kCudaContextBytes = uint64_t{512} << 20;

/// GPUs that this process can use: 0 without a driver, without a GPU, and in a build without CUDA.
int cuda_device_count();
/// Why cuda_device_count() is 0, as the end of a sentence: "this build has no CUDA".
std::string why_no_cuda_device();

/// Opens GPU `index` for this process. kUnsupported, with the reason, if it cannot be used.
Result<std::unique_ptr<Device>> open_cuda_device(int index);
/// What open_cuda_device() would find, without opening it.
Result<DeviceInfo> cuda_device_info(int index);

}  // namespace hearth::kernels
