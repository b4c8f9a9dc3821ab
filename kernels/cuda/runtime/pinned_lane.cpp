#include "kernels/cuda/runtime/pinned_lane.h"

#include <cstring>

#include "kernels/cuda/op_context.h"

namespace hearth::kernels {

using simt::check_cuda;

PinnedLane::PinnedLane(int device) : device_(device) {
  check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
  for (Buffer& buffer : buffers_) {
    check_cuda(cudaMallocHost(&buffer.data, kUploadChunkBytes), "cudaMallocHost");
    check_cuda(cudaEventCreateWithFlags(&buffer.copied, cudaEventDisableTiming), "cudaEventCreate");
  }
}

PinnedLane::~PinnedLane() {
  for (const Buffer& buffer : buffers_) {
    check_cuda(cudaEventDestroy(buffer.copied), "cudaEventDestroy");
    check_cuda(cudaFreeHost(buffer.data), "cudaFreeHost");
  }
  check_cuda(cudaStreamDestroy(stream_), "cudaStreamDestroy");
}

void PinnedLane::begin() { check_cuda(cudaSetDevice(device_), "cudaSetDevice"); }

void PinnedLane::put(void* to, const void* from, size_t bytes) {
  const Buffer& buffer = buffers_[next_];
  next_ = (next_ + 1) % buffers_.size();
  // An event that was never recorded counts as past.
  check_cuda(cudaEventSynchronize(buffer.copied), "wait for a copy");
  std::memcpy(buffer.data, from, bytes);
  check_cuda(cudaMemcpyAsync(to, buffer.data, bytes, cudaMemcpyHostToDevice, stream_), "upload");
  check_cuda(cudaEventRecord(buffer.copied, stream_), "cudaEventRecord");
}

void PinnedLane::finish() { check_cuda(cudaStreamSynchronize(stream_), "upload"); }

}  // namespace hearth::kernels
