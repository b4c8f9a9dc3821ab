#pragma once
// A Device whose memory is the host's and whose kernels run in the emulator. For tests.

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "kernels/device.h"

namespace hearth::kernels {

/// What it is to show. Its shared memory is a memfd.
struct EmulatedDeviceOptions {
  size_t shared_bytes_per_cta = size_t{163} << 10;  // as sm_80 has
  bool has_group_products = false;                  // as 9.0 has
  uint64_t free_bytes = uint64_t{1} << 32;          // bounds what can be allocated
  int32_t index = 0;
  bool isolated = false;  // while another one's ops run, a touch of this one's memory is a fault
  std::string uuid = "GPU-emulated";
  std::string why_not_shared = {};
  std::string why_no_gemm = {};  // why there is no library of matrix products; empty: there is
  std::chrono::milliseconds upload_pause{0};  // after each chunk of an upload
  std::function<Status()> before_map = {};    // an error is that of map_shared()
};
/// Memory is filled with garbage when it is allocated. Copies that were enqueued are checked: the
/// host gets garbage before wait(), and may not write what is being uploaded.
std::unique_ptr<Device> make_emulated_device(EmulatedDeviceOptions options);

/// The same; fewer `shared_bytes_per_cta` test kernels that adapt to it.
std::unique_ptr<Device> make_emulated_device(size_t shared_bytes_per_cta = size_t{163} << 10,
                                             uint64_t free_bytes = uint64_t{1} << 32);

}  // namespace hearth::kernels
