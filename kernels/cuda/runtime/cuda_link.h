#pragma once
// Copies from one GPU to another.

#include <cuda_runtime_api.h>

#include <memory>

#include "kernels/cuda/op_context.h"
#include "kernels/device.h"

namespace hearth::kernels {

/// While it lives, calls of this thread are about GPU `index`.
class CurrentDevice {
 public:
  explicit CurrentDevice(int index) : index_(index) {
    simt::check_cuda(cudaGetDevice(&before_), "cudaGetDevice");
    if (before_ != index_) simt::check_cuda(cudaSetDevice(index_), "cudaSetDevice");
  }
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;
  ~CurrentDevice() {
    if (before_ != index_) simt::check_cuda(cudaSetDevice(before_), "cudaSetDevice");
  }

 private:
  int index_;
  int before_ = 0;
};

/// From `source` to `target`, both GPUs: directly where they can and it was seen to work, else
/// through pinned host memory of `bytes`.
Result<std::unique_ptr<DeviceLink>> make_cuda_link(Device& source, Device& target, size_t bytes);

}  // namespace hearth::kernels
