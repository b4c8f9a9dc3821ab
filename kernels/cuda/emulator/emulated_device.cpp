#include "kernels/cuda/emulator/emulated_device.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "base/check.h"
#include "kernels/cuda/emulator/emulated_gemm.h"
#include "kernels/cuda/simt.h"
//
#include "kernels/cuda/ops.h"
#include "kernels/cuda/step_records.h"
#include "kernels/cuda/step_staging.h"
#include "kernels/cuda/upload_lanes.h"

namespace hearth::kernels {
namespace {

constexpr size_t kAlignment = 256;
constexpr int kGarbage = 0xCB;

/// Launches and copies as closures.
class ClosureRecord final : public StepRecord {
 public:
  void replay() override {
    for (const auto& launch : record) launch();
  }
  simt::emulator::Record record;
};

std::unique_ptr<StepRecord> record(const std::function<void()>& ops) {
  auto made = std::make_unique<ClosureRecord>();
  simt::emulator::record_to(&made->record);
  ops();
  simt::emulator::record_to(nullptr);
  return made;
}

void check_not_recording() {
  HEARTH_CHECK(simt::emulator::recording() == nullptr,
               "a step that is recorded neither copies from or to the host nor waits");
}

class CopyLane final : public UploadLane {
 public:
  explicit CopyLane(std::chrono::milliseconds pause) : pause_(pause) {}
  void put(void* to, const void* from, size_t bytes) override {
    std::memcpy(to, from, bytes);
    std::this_thread::sleep_for(pause_);
  }

 private:
  const std::chrono::milliseconds pause_;
};

class EmulatedDevice final : public Device {
 public:
  explicit EmulatedDevice(EmulatedDeviceOptions options)
      : isolated_(options.isolated),
        why_no_gemm_(std::move(options.why_no_gemm)),
        upload_pause_(options.upload_pause),
        before_map_(std::move(options.before_map)) {
    info_ = {.name = "emulated",
             .index = options.index,
             .capability = options.has_group_products ? 90 : 80,
             .multiprocessors = 4,
             .total_bytes = options.free_bytes,
             .free_bytes = options.free_bytes,
             .uuid = std::move(options.uuid),
             .why_not_shared = std::move(options.why_not_shared)};
    op_.device = info_.index;
    op_.multiprocessors = info_.multiprocessors;
    op_.capability = info_.capability;
    op_.has_group_products = options.has_group_products;
    op_.shared_bytes_per_cta = options.shared_bytes_per_cta;
  }

  ~EmulatedDevice() override {
    gemm_workspace_.reset();
    scratch_.reset();
    step_.reset();
    if (current == this) current = nullptr;
  }

  const DeviceInfo& info() const override { return info_; }
  const KernelTable& table() const override { return emulated::kernel_table(); }
  ExecContext context() override {
    if (current != this && current != nullptr) current->protect(PROT_NONE);
    protect(PROT_READ | PROT_WRITE);
    current = this;
    return {.stream = &op_};
  }

  Result<DeviceMemory> allocate(size_t bytes, const char* what) override {
    HEARTH_RETURN_IF_ERROR(take(bytes, what));
    // Reads in whole 16 bytes may go so far beyond the end: devices hand out memory in such units.
    const size_t padded = (bytes + 15) / 16 * 16;
    void* data = isolated_ ? map(padded) : ::operator new (padded, std::align_val_t{kAlignment});
    std::memset(data, kGarbage, padded);
    return DeviceMemory(*this, data, bytes);
  }
  void upload(void* to, const void* from, size_t bytes) override {
    check_not_recording();
    const Opened opened(*this);
    std::memcpy(to, from, bytes);
  }
  void download(void* to, const void* from, size_t bytes) override {
    const Opened opened(*this);
    wait();
    std::memcpy(to, from, bytes);
  }
  void copy(void* to, const void* from, size_t bytes) override {
    const auto move = [to, from, bytes] { std::memmove(to, from, bytes); };
    if (simt::emulator::Record* record = simt::emulator::recording()) {
      record->emplace_back(move);
    } else {
      const Opened opened(*this);
      move();
    }
  }

  Status upload_all(std::span<const UploadPiece> pieces, const UploadProgress& progress) override {
    std::vector<std::unique_ptr<UploadLane>> lanes;
    for (int i = 0; i < 2; ++i) lanes.push_back(std::make_unique<CopyLane>(upload_pause_));
    const Opened opened(*this);
    return upload_in_lanes(pieces, lanes, progress);
  }
  Result<SharedMemory> allocate_shared(size_t bytes, const char* what) override {
    if (!info_.why_not_shared.empty()) return fail(ErrorCode::kUnsupported, info_.why_not_shared);
    HEARTH_RETURN_IF_ERROR(take(bytes, what));
    UniqueFd fd(::memfd_create("hearth-device-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    HEARTH_CHECK(fd.valid() && ::ftruncate(fd.get(), static_cast<off_t>(bytes)) == 0, "a memfd");
    HEARTH_CHECK(::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0, "a memfd");
    void* const data = map_memfd(fd.get(), bytes, PROT_READ | PROT_WRITE);
    std::memset(data, kGarbage, bytes);
    return SharedMemory{DeviceMemory(*this, data, bytes), std::move(fd)};
  }
  /// What others have allocated takes nothing of this process's share.
  Result<DeviceMemory> map_shared(const UniqueFd& handle, size_t bytes) override {
    if (!info_.why_not_shared.empty()) return fail(ErrorCode::kUnsupported, info_.why_not_shared);
    if (before_map_) HEARTH_RETURN_IF_ERROR(before_map_());
    struct stat status {};
    if (::fstat(handle.get(), &status) != 0 || std::cmp_less(status.st_size, bytes) ||
        ::fcntl(handle.get(), F_GET_SEALS) < 0) {
      return fail(ErrorCode::kMalformed,
                  "the emulated device cannot map the shared weights: the descriptor is no memory "
                  "of " +
                      std::to_string(bytes) + " bytes");
    }
    return DeviceMemory(*this, map_memfd(handle.get(), bytes, PROT_READ), bytes);
  }
  void protect_shared(const DeviceMemory& memory) override {
    HEARTH_CHECK(::mprotect(memory.data(), memory.bytes(), PROT_READ) == 0, "mprotect");
  }

  Status reserve(size_t scratch_bytes, int64_t rows, int64_t logit_rows, int64_t pages) override {
    HEARTH_ASSIGN_OR_RETURN(scratch_, allocate(scratch_bytes, "scratch"));
    staging_ = StepStaging(rows, logit_rows, pages);
    HEARTH_ASSIGN_OR_RETURN(step_, allocate(staging_.capacity_bytes(), "steps"));
    op_.scratch = scratch_->data();
    op_.scratch_bytes = scratch_bytes;
    return {};
  }
  Result<std::string> use_gemm_library() override {
    if (!why_no_gemm_.empty()) return fail(ErrorCode::kUnsupported, why_no_gemm_);
    HEARTH_ASSIGN_OR_RETURN(gemm_workspace_, allocate(kGemmWorkspaceBytes, "the library"));
    op_.gemm = &gemm_;
    return "emulated products";
  }
  StepPointers begin_step(const StepInput& input) override {
    wait_for_uploads();
    staging_.fill(input);
    enqueue_upload(step_->data(), staging_.bytes().data(), staging_.bytes().size());
    op_.step = staging_.tables(step_->data());
    return staging_.pointers(step_->data());
  }

  Result<PinnedMemory> allocate_pinned(size_t bytes, const char*) override {
    void* data = ::operator new (bytes, std::align_val_t{kAlignment});
    std::memset(data, kGarbage, bytes);
    return PinnedMemory(*this, data, bytes);
  }
  void enqueue_upload(void* to, const void* from, size_t bytes) override {
    upload(to, from, bytes);
    const auto* data = static_cast<const std::byte*>(from);
    uploads_.push_back({data, {data, data + bytes}});
  }
  void enqueue_download(void* to, const void* from, size_t bytes) override {
    check_not_recording();
    const Opened opened(*this);
    std::memset(to, kGarbage, bytes);
    const auto* data = static_cast<const std::byte*>(from);
    downloads_.push_back({to, {data, data + bytes}});
  }
  void wait_for_uploads() override {
    check_not_recording();
    for (const Upload& upload : uploads_)
      HEARTH_CHECK(std::ranges::equal(std::span(upload.from, upload.bytes.size()), upload.bytes),
                   "what is being uploaded stays as it is until it was waited for");
    uploads_.clear();
  }
  void wait() override {
    wait_for_uploads();
    for (const Download& download : downloads_)
      std::ranges::copy(download.bytes, static_cast<std::byte*>(download.to));
    downloads_.clear();
  }

  void run_recorded(int64_t kind, const std::function<void()>& ops) override {
    records_.run({.kind = kind, .rows = op_.step.rows, .longest = op_.step.longest}, ops, record);
  }

  Result<std::unique_ptr<DeviceLink>> link_from(Device& source, size_t bytes) override;

 private:
  friend class EmulatedLink;

  Status take(size_t bytes, const char* what) {
    if (bytes > info_.free_bytes) {
      return fail(ErrorCode::kResourceExhausted, std::string("the emulated device has no ") +
                                                     std::to_string(bytes) + " bytes left for " +
                                                     what);
    }
    info_.free_bytes -= bytes;
    return {};
  }
  void* map_memfd(int fd, size_t bytes, int protection) {
    void* const data = ::mmap(nullptr, bytes, protection, MAP_SHARED, fd, 0);
    HEARTH_CHECK(data != MAP_FAILED, "mmap of a memfd");
    shared_.insert(data);
    return data;
  }
  /// Lets the host touch an isolated device's memory.
  class Opened {
   public:
    explicit Opened(EmulatedDevice& device) : device_(device) {
      device_.protect(PROT_READ | PROT_WRITE);
    }
    ~Opened() {
      if (current != &device_) device_.protect(PROT_NONE);
    }
    Opened(const Opened&) = delete;
    Opened& operator=(const Opened&) = delete;

   private:
    EmulatedDevice& device_;
  };

  void* map(size_t bytes) {
    void* data = ::mmap(nullptr, std::max<size_t>(bytes, 1), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    HEARTH_CHECK(data != MAP_FAILED, "the emulated device has memory");
    mappings_.push_back({data, std::max<size_t>(bytes, 1)});
    return data;
  }
  void protect(int access) {
    for (const Mapping& mapping : mappings_)
      HEARTH_CHECK(::mprotect(mapping.data, mapping.bytes, access) == 0, "mprotect");
  }
  void release(void* data, size_t bytes) override {
    if (shared_.erase(data) > 0) {
      ::munmap(data, bytes);
      return;
    }
    info_.free_bytes += bytes;
    const auto mapping = std::ranges::find(mappings_, data, &Mapping::data);
    if (mapping == mappings_.end()) {
      ::operator delete (data, std::align_val_t{kAlignment});
      return;
    }
    ::munmap(mapping->data, mapping->bytes);
    mappings_.erase(mapping);
  }
  void release_pinned(void* data) override {
    ::operator delete (data, std::align_val_t{kAlignment});
  }

  /// Copies that the host has not waited for: `from` may not change, `to` is garbage until then.
  struct Upload {
    const std::byte* from;
    std::vector<std::byte> bytes;
  };
  struct Download {
    void* to;
    std::vector<std::byte> bytes;
  };

  /// Of an isolated device.
  struct Mapping {
    void* data;
    size_t bytes;
  };

  /// Whose ops run: memory of the other isolated ones cannot be touched.
  static inline EmulatedDevice* current = nullptr;

  const bool isolated_;
  std::vector<Mapping> mappings_;
  const std::string why_no_gemm_;
  const std::chrono::milliseconds upload_pause_;
  const std::function<Status()> before_map_;
  DeviceInfo info_;
  std::set<void*> shared_;  // mappings of memfds; what they took is never given back
  simt::OpContext op_;
  std::optional<DeviceMemory> scratch_;
  std::optional<DeviceMemory> step_;
  std::optional<DeviceMemory> gemm_workspace_;
  EmulatedGemm gemm_;
  StepStaging staging_;
  StepRecords records_;
  std::vector<Upload> uploads_;
  std::vector<Download> downloads_;
};

class EmulatedLink final : public DeviceLink {
 public:
  EmulatedLink(EmulatedDevice& source, EmulatedDevice& target, size_t bytes)
      : source_(source), target_(target), bytes_(bytes) {}
  void send(void* to, const void* from, size_t bytes) override {
    HEARTH_CHECK(bytes <= bytes_, "a copy between devices is within what the link was made for");
    const EmulatedDevice::Opened source(source_);
    const EmulatedDevice::Opened target(target_);
    std::memcpy(to, from, bytes);
  }
  std::string way() const override { return "directly"; }

 private:
  EmulatedDevice& source_;
  EmulatedDevice& target_;
  size_t bytes_;
};

Result<std::unique_ptr<DeviceLink>> EmulatedDevice::link_from(Device& source, size_t bytes) {
  auto* emulated = dynamic_cast<EmulatedDevice*>(&source);
  HEARTH_CHECK(emulated != nullptr && emulated != this, "links are between two devices of a kind");
  return std::make_unique<EmulatedLink>(*emulated, *this, bytes);
}

}  // namespace

std::unique_ptr<Device> make_emulated_device(size_t shared_bytes_per_cta, uint64_t free_bytes) {
  return make_emulated_device(
      {.shared_bytes_per_cta = shared_bytes_per_cta, .free_bytes = free_bytes});
}

std::unique_ptr<Device> make_emulated_device(EmulatedDeviceOptions options) {
  return std::make_unique<EmulatedDevice>(std::move(options));
}

}  // namespace hearth::kernels
