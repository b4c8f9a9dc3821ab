#pragma once
// A Device whose memory is the host's and whose kernels run in the emulator. For tests.

#include <memory>

#include "kernels/device.h"

namespace hearth::kernels {

/// `shared_bytes_per_cta`: as a device of sm_80 has, or less to test kernels that adapt to it.
/// Memory is filled with garbage when it is allocated. `free_bytes` bounds what can be allocated.
std::unique_ptr<Device> make_emulated_device(size_t shared_bytes_per_cta = size_t{163} << 10,
                                             uint64_t free_bytes = uint64_t{1} << 32);

}  // namespace hearth::kernels
