#pragma once
// A large upload by several threads: one alone reads a mapping of a file more slowly than the bus
// takes it.

#include <memory>
#include <span>
#include <vector>

#include "kernels/device.h"

namespace hearth::kernels {

/// What a lane is given at once. Long enough that a copy costs more than its launch, short enough
/// that few staging buffers are little memory.
inline constexpr size_t kUploadChunkBytes = size_t{8} << 20;

/// One thread's way to the device.
class UploadLane {
 public:
  virtual ~UploadLane() = default;
  /// The first call, on the lane's thread.
  virtual void begin() {}
  /// Has read `from` when it returns; `to` may be written later. At most kUploadChunkBytes.
  virtual void put(void* to, const void* from, size_t bytes) = 0;
  /// The last call: all that was put has arrived when it returns.
  virtual void finish() {}
};

/// Device::upload_all() through `lanes`, each on a thread of its own.
Status upload_in_lanes(std::span<const UploadPiece> pieces,
                       const std::vector<std::unique_ptr<UploadLane>>& lanes,
                       const UploadProgress& progress);

}  // namespace hearth::kernels
