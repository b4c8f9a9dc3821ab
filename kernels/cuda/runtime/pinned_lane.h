#pragma once
// A lane of an upload to a GPU: through two buffers of pinned memory, so that one is filled while
// the other is on the bus. What it reads, a mapping of a file, is never pinned itself.

#include <cuda_runtime_api.h>

#include <array>

#include "kernels/cuda/upload_lanes.h"

namespace hearth::kernels {

class PinnedLane final : public UploadLane {
 public:
  /// On GPU `device`.
  explicit PinnedLane(int device);
  ~PinnedLane() override;

  void begin() override;
  void put(void* to, const void* from, size_t bytes) override;
  void finish() override;

 private:
  struct Buffer {
    void* data = nullptr;          // kUploadChunkBytes
    cudaEvent_t copied = nullptr;  // it may be filled again
  };
  const int device_;
  cudaStream_t stream_ = nullptr;
  std::array<Buffer, 2> buffers_;
  size_t next_ = 0;
};

}  // namespace hearth::kernels
