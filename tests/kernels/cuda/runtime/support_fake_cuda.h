#pragma once
// As much of CUDA as kernels/cuda/runtime/shared_memory.cpp and pinned_lane.cpp call, over memory
// of the host: it takes the place of the runtime and of the driver. It holds callers to the rules
// that the manuals give: sizes in units of the granularity, access only after it was set, a copy
// that is done when it was waited for and not before.

#include <cuda.h>

#include <cstddef>

namespace hearth::testing {

inline constexpr size_t kGranularity = size_t{64} << 10;

/// What the fake says to the next calls, and what it has given out.
struct FakeCuda {
  // Answers.
  int virtual_memory = 1;  // attributes of the device
  int posix_handles = 1;
  CUresult create = CUDA_SUCCESS;
  CUresult map = CUDA_SUCCESS;
  CUresult read_only = CUDA_SUCCESS;  // to a mapping for reading
  CUresult export_handle = CUDA_SUCCESS;
  int memory_device = 0;  // whose memory imported handles are
  // What there is.
  int handles = 0;
  int ranges = 0;
  int mappings = 0;
  int streams = 0;
  int events = 0;
  int pinned = 0;
  int early_waits = 0;  // waits for an event that was never recorded

  [[nodiscard]] bool nothing_left() const {
    return handles == 0 && ranges == 0 && mappings == 0 && streams == 0 && events == 0 &&
           pinned == 0;
  }
};
FakeCuda& fake_cuda();

/// For one test: fresh answers, and at its end nothing may be left.
class FakeCudaScope {
 public:
  FakeCudaScope() { fake_cuda() = {}; }
  ~FakeCudaScope();
};

}  // namespace hearth::testing
