#include "kernels/cuda/runtime/cuda_link.h"

#include <utility>
#include <vector>

#include "base/check.h"

namespace hearth::kernels {
namespace {

using simt::check_cuda;

/// A point in the work of a GPU.
class Event {
 public:
  explicit Event(int device) : device_(device) {
    const CurrentDevice current(device_);
    check_cuda(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreate");
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() {
    const CurrentDevice current(device_);
    check_cuda(cudaEventDestroy(event_), "cudaEventDestroy");
  }

  /// It is where `stream`, of the event's GPU, is now.
  void record(cudaStream_t stream) {
    check_cuda(cudaEventRecord(event_, stream), "cudaEventRecord");
  }
  /// What is called on `stream`, of any GPU, from now on comes after it.
  void hold(cudaStream_t stream) {
    check_cuda(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent");
  }

 private:
  int device_;
  cudaEvent_t event_ = nullptr;
};

struct End {
  int index;
  cudaStream_t stream;
};

End end_of(Device& device) {
  // Not by context(): that would make it this thread's current GPU.
  const CurrentDevice before(device.info().index);
  const auto* op = static_cast<const simt::OpContext*>(device.context().stream);
  return {device.info().index, static_cast<cudaStream_t>(op->stream)};
}

class CudaLink : public DeviceLink {
 public:
  CudaLink(End source, End target, size_t bytes)
      : source_(source),
        target_(target),
        source_at_(source.index),
        target_at_(target.index),
        bytes_(bytes) {}

  void send(void* to, const void* from, size_t bytes) final {
    HEARTH_CHECK(bytes <= bytes_, "a copy between devices is within what the link was made for");
    if (bytes > 0) transfer(to, from, bytes);
  }

 protected:
  virtual void transfer(void* to, const void* from, size_t bytes) = 0;

  const End source_;
  const End target_;
  Event source_at_;
  Event target_at_;

 private:
  size_t bytes_;
};

class DirectLink final : public CudaLink {
 public:
  using CudaLink::CudaLink;
  std::string way() const override { return "directly"; }

 private:
  void transfer(void* to, const void* from, size_t bytes) override {
    target_at_.record(target_.stream);
    target_at_.hold(source_.stream);
    check_cuda(cudaMemcpyPeerAsync(to, target_.index, from, source_.index, bytes, source_.stream),
               "copy between GPUs");
    source_at_.record(source_.stream);
    source_at_.hold(target_.stream);
  }
};

class StagedLink final : public CudaLink {
 public:
  StagedLink(End source, End target, PinnedMemory pinned, std::string why)
      : CudaLink(source, target, pinned.bytes()),
        pinned_(std::move(pinned)),
        why_(std::move(why)) {}
  std::string way() const override { return "through host memory: " + why_; }

 private:
  void transfer(void* to, const void* from, size_t bytes) override {
    target_at_.hold(source_.stream);  // has read what the pinned memory had
    check_cuda(cudaMemcpyAsync(pinned_.data(), from, bytes, cudaMemcpyDeviceToHost, source_.stream),
               "copy between GPUs");
    source_at_.record(source_.stream);
    source_at_.hold(target_.stream);
    check_cuda(cudaMemcpyAsync(to, pinned_.data(), bytes, cudaMemcpyHostToDevice, target_.stream),
               "copy between GPUs");
    target_at_.record(target_.stream);
  }

  PinnedMemory pinned_;
  std::string why_;
};

/// Whether GPU `from` may write to GPU `to`; makes it so.
bool enable_peer(int from, int to) {
  int can = 0;
  check_cuda(cudaDeviceCanAccessPeer(&can, from, to), "cudaDeviceCanAccessPeer");
  if (can == 0) return false;
  const CurrentDevice current(from);
  const cudaError_t error = cudaDeviceEnablePeerAccess(to, 0);
  if (error != cudaSuccess) static_cast<void>(cudaGetLastError());
  return error == cudaSuccess || error == cudaErrorPeerAccessAlreadyEnabled;
}

/// Sends a pattern: where an IOMMU translates the addresses of GPUs, copies between them end
/// without an error and without the bytes.
Result<bool> arrives(DeviceLink& link, Device& source, Device& target) {
  constexpr size_t kBytes = size_t{64} << 10;
  std::vector<unsigned char> sent(kBytes);
  for (size_t i = 0; i < kBytes; ++i) sent[i] = static_cast<unsigned char>(i * 167 + (i >> 8) + 1);
  std::vector<unsigned char> received(kBytes, 0);
  HEARTH_ASSIGN_OR_RETURN(const DeviceMemory from, source.allocate(kBytes, "a test of copies"));
  HEARTH_ASSIGN_OR_RETURN(const DeviceMemory to, target.allocate(kBytes, "a test of copies"));
  source.upload(from.data(), sent.data(), kBytes);
  target.upload(to.data(), received.data(), kBytes);
  link.send(to.data(), from.data(), kBytes);
  target.download(received.data(), to.data(), kBytes);
  source.wait();
  return sent == received;
}

}  // namespace

Result<std::unique_ptr<DeviceLink>> make_cuda_link(Device& source, Device& target, size_t bytes) {
  const End from = end_of(source);
  const End to = end_of(target);
  std::string why = "these GPUs cannot copy to each other";
  if (enable_peer(from.index, to.index)) {
    // What is tested is larger than some links carry.
    DirectLink test(from, to, SIZE_MAX);
    HEARTH_ASSIGN_OR_RETURN(const bool works, arrives(test, source, target));
    if (works) return std::make_unique<DirectLink>(from, to, bytes);
    why = "a copy from one to the other did not arrive as it was sent";
  }
  HEARTH_ASSIGN_OR_RETURN(PinnedMemory pinned,
                          source.allocate_pinned(bytes, "copies between GPUs"));
  return std::make_unique<StagedLink>(from, to, std::move(pinned), std::move(why));
}

}  // namespace hearth::kernels
