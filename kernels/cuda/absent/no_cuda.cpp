// A build without CUDA.
#include "kernels/cuda/cuda_device.h"

namespace hearth::kernels {
namespace {

std::unexpected<Error> no_device() {
  return fail(ErrorCode::kUnsupported, "no GPU can be used: " + why_no_cuda_device());
}

}  // namespace

int cuda_device_count() { return 0; }
std::string why_no_cuda_device() { return "this build has no CUDA"; }
Result<std::unique_ptr<Device>> open_cuda_device(int) { return no_device(); }
Result<DeviceInfo> cuda_device_info(int) { return no_device(); }

}  // namespace hearth::kernels
