#pragma once
// An accelerator as the engine sees it: memory, copies, and a table of ops on one stream.
// Everything is ordered: what is called later happens later. A fault of the device ends the process
// with a line in the log (DESIGN §2.4).

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"
#include "kernels/kernel_table.h"

namespace hearth::kernels {

struct DeviceInfo {
  std::string name;  // "NVIDIA H200"
  int32_t index = 0;
  int32_t capability = 0;  // 10 * major + minor
  int32_t multiprocessors = 0;
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;     // when it was asked
  uint64_t context_bytes = 0;  // what each process takes beside its allocations; this one has it
  std::string uuid = {};       // the same in every process: "GPU-5fe81cd0-…"
  std::string why_not_shared = {};  // why memory is not shared; empty: it is
};

class Device;

/// The workspace of a library of matrix products: what cuBLAS asks for at most, on 9.0.
inline constexpr uint64_t kGemmWorkspaceBytes = uint64_t{32} << 20;
/// What such a library takes of a GPU. Beside the workspace that is its handle, and its kernels as
/// they are first used: an estimate.
inline constexpr uint64_t kGemmLibraryBytes = kGemmWorkspaceBytes + (uint64_t{128} << 20);

enum class MemoryPlace { kDevice, kPinnedHost };

/// Owns a range of memory. The device must outlive it.
template <MemoryPlace kPlace>
class OwnedMemory {
 public:
  OwnedMemory() = default;
  OwnedMemory(Device& device, void* data, size_t bytes)
      : device_(&device), data_(data), bytes_(bytes) {}
  OwnedMemory(OwnedMemory&& other) noexcept
      : device_(other.device_),
        data_(std::exchange(other.data_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)) {}
  OwnedMemory& operator=(OwnedMemory&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  OwnedMemory(const OwnedMemory&) = delete;
  OwnedMemory& operator=(const OwnedMemory&) = delete;
  ~OwnedMemory();

  [[nodiscard]] std::byte* data() const { return static_cast<std::byte*>(data_); }
  [[nodiscard]] size_t bytes() const { return bytes_; }

 private:
  Device* device_ = nullptr;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

/// Of a device, aligned to 256 bytes.
using DeviceMemory = OwnedMemory<MemoryPlace::kDevice>;
/// Of the host, for a device to copy from and to while the host goes on.
using PinnedMemory = OwnedMemory<MemoryPlace::kPinnedHost>;

/// Memory that other processes can map as well. It lives as long as anybody, in whatever process,
/// maps it or holds the handle.
struct SharedMemory {
  DeviceMemory memory;  // this process's mapping
  UniqueFd handle;      // close-on-exec
};

/// A part of an upload.
struct UploadPiece {
  void* to = nullptr;          // on the device
  const void* from = nullptr;  // may be a mapping of a file, which is read on the way
  size_t bytes = 0;
};
/// Told of the bytes done, again and again while an upload goes on; an error ends the upload.
using UploadProgress = std::function<Status(uint64_t done)>;

/// The way from one device's memory to another's.
class DeviceLink {
 public:
  DeviceLink() = default;
  DeviceLink(const DeviceLink&) = delete;
  DeviceLink& operator=(const DeviceLink&) = delete;
  virtual ~DeviceLink() = default;

  /// Copies when the source has done what was called on it before, and the target what was called
  /// on it before; what is called on either later happens later. The host goes on.
  virtual void send(void* to, const void* from, size_t bytes) = 0;
  /// "directly", or why not: for the log.
  [[nodiscard]] virtual std::string way() const = 0;
};

/// What the ops of one step share, in host memory.
struct StepInput {
  std::span<const SequenceRows> sequences;  // their rows cover the step's, in order
  int32_t page_tokens = 0;
  std::span<const int32_t> positions;   // [rows]
  std::span<const int32_t> logit_rows;  // may be empty
  /// The step will be run by run_recorded(): it has the addresses and launch shapes of all steps
  /// with as many rows, one of each sequence, whose longest context is of the same class.
  bool recorded = false;
};

/// The same where the ops read it. For ops that take SequenceRows the device remembers the rest.
struct StepPointers {
  const int32_t* positions = nullptr;   // [rows]
  const int32_t* logit_rows = nullptr;  // [logit_rows]
};

class Device {
 public:
  Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  virtual ~Device() = default;

  [[nodiscard]] virtual const DeviceInfo& info() const = 0;
  [[nodiscard]] virtual const KernelTable& table() const = 0;
  /// What the table's ops are called with, on this thread and until another device is asked for
  /// its own.
  [[nodiscard]] virtual ExecContext context() = 0;

  /// kResourceExhausted with `what` and the bytes if the device has not so much left.
  virtual Result<DeviceMemory> allocate(size_t bytes, const char* what) = 0;
  /// `from` may be reused when this returns.
  virtual void upload(void* to, const void* from, size_t bytes) = 0;
  /// Waits for everything before it; `to` is complete when this returns.
  virtual void download(void* to, const void* from, size_t bytes) = 0;
  virtual void copy(void* to, const void* from, size_t bytes) = 0;

  /// Uploads all pieces as fast as the bus lets. `progress` is called on this thread; its error is
  /// returned, and the rest is not uploaded then.
  virtual Status upload_all(std::span<const UploadPiece> pieces,
                            const UploadProgress& progress) = 0;
  /// As allocate(), for all processes that are given the handle. kUnsupported if
  /// info().why_not_shared says so.
  virtual Result<SharedMemory> allocate_shared(size_t bytes, const char* what) = 0;
  /// Maps for reading what another process's allocate_shared(bytes) gave. The handle stays the
  /// caller's. kUnsupported as above; kMalformed if it is no memory of this device and of at least
  /// so many bytes.
  virtual Result<DeviceMemory> map_shared(const UniqueFd& handle, size_t bytes) = 0;
  /// Shared memory is complete: from now on this process, too, may only read it, where the driver
  /// can see to that.
  virtual void protect_shared(const DeviceMemory& memory) = 0;

  /// The way from `source`, another device of the same kind, for `bytes` at most at a time. Both
  /// must outlive it.
  virtual Result<std::unique_ptr<DeviceLink>> link_from(Device& source, size_t bytes) = 0;

  /// Memory for ops that work in two launches, and for steps of so many rows, wanted logits and
  /// pages of all their sequences. Called once, before the first step.
  virtual Status reserve(size_t scratch_bytes, int64_t rows, int64_t logit_rows, int64_t pages) = 0;
  /// From now on matmuls of many rows go through a library of the device's maker, whose sums depend
  /// on the number of rows: equal bits (DESIGN §2.3) are given up. Called once, behind reserve().
  /// Returns the library's name. kUnsupported, with the reason, if it cannot be used: nothing has
  /// changed then.
  virtual Result<std::string> use_gemm_library() = 0;
  /// Brings a step's input to the device; waits until that of the step before has been read.
  virtual StepPointers begin_step(const StepInput& input) = 0;

  /// For all devices of this kind.
  virtual Result<PinnedMemory> allocate_pinned(size_t bytes, const char* what) = 0;
  /// Copies that return at once, in order with the ops. Until wait() or wait_for_uploads(), pinned
  /// memory `from` must stay as it is; until wait(), pinned memory `to` means nothing.
  virtual void enqueue_upload(void* to, const void* from, size_t bytes) = 0;
  virtual void enqueue_download(void* to, const void* from, size_t bytes) = 0;
  /// Until what was to be uploaded so far, begin_step()'s input too, has been read.
  virtual void wait_for_uploads() = 0;
  /// Waits for everything so far.
  virtual void wait() = 0;

  /// Runs `ops` (ops of the table and copy(), nothing else) for a step that began with `recorded`.
  /// After a few steps of one shape and `kind` their launches are recorded, and from then on
  /// replayed without calling `ops`: what changes from step to step they must read from memory.
  virtual void run_recorded(int64_t kind, const std::function<void()>& ops) = 0;

 private:
  template <MemoryPlace kPlace>
  friend class OwnedMemory;
  virtual void release(void* data, size_t bytes) = 0;
  virtual void release_pinned(void* data) = 0;
};

template <MemoryPlace kPlace>
OwnedMemory<kPlace>::~OwnedMemory() {
  if (data_ == nullptr) return;
  if constexpr (kPlace == MemoryPlace::kDevice) {
    device_->release(data_, bytes_);
  } else {
    device_->release_pinned(data_);
  }
}

}  // namespace hearth::kernels
