#pragma once
// GPU memory that several processes map: physical memory of the driver's virtual memory management
// (cuMemCreate), exported as a POSIX file descriptor. The driver's entry points come through the
// CUDA runtime, so the program starts where there is no driver.

#include <cstddef>
#include <map>

#include "base/result.h"
#include "base/unique_fd.h"

namespace hearth::kernels {

/// The shared mappings of one process on one GPU. The GPU's primary context must be current.
class CudaSharedMemory {
 public:
  explicit CudaSharedMemory(int device) : device_(device) {}

  /// Whether the GPU, the driver and the container let memory be exported: tried with the smallest
  /// piece there is. kUnsupported says what failed.
  static Status try_out(int device);

  struct Created {
    void* data = nullptr;
    UniqueFd handle;
  };
  /// kResourceExhausted, naming `what`, if the GPU has not so much left.
  Result<Created> create(size_t bytes, const char* what);
  /// Maps for reading. kMalformed if `handle` is not memory of this GPU and of `bytes`.
  Result<void*> map(int handle, size_t bytes);
  /// Takes the right to write from a mapping of create().
  void protect(void* data);
  /// False if `data` is no mapping of this.
  bool release(void* data);

 private:
  const int device_;
  std::map<void*, size_t> mappings_;  // their padded bytes
};

}  // namespace hearth::kernels
