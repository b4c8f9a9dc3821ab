// kernels/cuda/cuda_device.h with GPUs that the emulator plays: linked into a program before the
// library that has the real one, it takes its place. Environment variables say what it is like:
//   EMULATED_GPUS=N                  there are so many; else one
//   EMULATED_GPU_WARPGROUPS=1        it has products of warpgroups, as 9.0 has
//   EMULATED_GPU_SHARING=0            processes cannot share its memory
//   EMULATED_GPU_UPLOAD_PAUSE_MS=N   after each piece of an upload
//   EMULATED_GPU_BAD_MAPS=FILE       while FILE is there, shared memory cannot be mapped; the first
//                                    process that fails removes it

#include <cstdlib>
#include <filesystem>
#include <string>

#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/emulator/emulated_device.h"

namespace hearth::kernels {
namespace {

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

EmulatedDeviceOptions options(int index) {
  EmulatedDeviceOptions out;
  out.index = index;
  out.uuid += std::to_string(index);
  out.has_group_products = variable("EMULATED_GPU_WARPGROUPS") == "1";
  if (variable("EMULATED_GPU_SHARING") == "0") out.why_not_shared = "EMULATED_GPU_SHARING is 0";
  if (const std::string pause = variable("EMULATED_GPU_UPLOAD_PAUSE_MS"); !pause.empty())
    out.upload_pause = std::chrono::milliseconds(std::stoi(pause));
  if (const std::string file = variable("EMULATED_GPU_BAD_MAPS"); !file.empty()) {
    out.before_map = [file]() -> Status {
      if (!std::filesystem::remove(file)) return {};
      return fail(ErrorCode::kMalformed, "EMULATED_GPU_BAD_MAPS: the shared weights are broken");
    };
  }
  return out;
}

}  // namespace

int cuda_device_count() {
  const std::string count = variable("EMULATED_GPUS");
  return count.empty() ? 1 : std::stoi(count);
}
std::string why_no_cuda_device() { return "EMULATED_GPUS is 0"; }
Result<std::unique_ptr<Device>> open_cuda_device(int index) {
  return make_emulated_device(options(index));
}
Result<DeviceInfo> cuda_device_info(int index) {
  return make_emulated_device(options(index))->info();
}

}  // namespace hearth::kernels
