// The CUDA runtime. It is linked statically and loads the driver when it is first asked for
// something: the program starts on machines without one.
#include "kernels/cuda/cuda_device.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "base/check.h"
#include "base/log.h"
#include "kernels/cuda/op_context.h"
#include "kernels/cuda/runtime/cublas_gemm.h"
#include "kernels/cuda/runtime/cuda_link.h"
#include "kernels/cuda/runtime/left_out.h"
#include "kernels/cuda/runtime/pinned_lane.h"
#include "kernels/cuda/runtime/shared_memory.h"
#include "kernels/cuda/runtime/step_graph.h"
#include "kernels/cuda/step_records.h"
#include "kernels/cuda/step_staging.h"

namespace hearth::kernels {

namespace cuda {
const KernelTable& kernel_table();  // kernels/cuda/table.cu
}

namespace simt {

void check_cuda(int error, const char* call) {
  if (error == cudaSuccess) [[likely]]
    return;
  std::fprintf(stderr, "hearth: CUDA fault: %s: %s; this process ends\n", call,
               cudaGetErrorString(static_cast<cudaError_t>(error)));
  std::abort();
}

}  // namespace simt

namespace {

using simt::check_cuda;

/// Releases of devices before this cannot run the kernels.
constexpr int kOldestCapability = 75;

/// Threads of an upload: one alone copies from the page cache more slowly than a PCIe 5 bus takes.
constexpr int kUploadLanes = 4;

/// As nvidia-smi -L prints it.
std::string uuid_text(const cudaUUID_t& uuid) {
  std::string out = "GPU";
  for (size_t i = 0; i < sizeof(uuid.bytes); ++i) {
    if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(uuid.bytes[i]));
    out += digits;
  }
  return out;
}

std::unexpected<Error> unusable(int index, const std::string& why) {
  return fail(ErrorCode::kUnsupported, "GPU " + std::to_string(index) + " cannot be used: " + why);
}

#if defined(HEARTH_CUDA_90A)
constexpr bool kBuiltFor90a = true;
#else
constexpr bool kBuiltFor90a = false;
#endif

/// HEARTH_GPU_WITHOUT, told in the log where it leaves anything out.
Result<LeftOut> left_out(int index) {
  const char* const text = std::getenv("HEARTH_GPU_WITHOUT");
  if (text == nullptr || *text == '\0') return LeftOut{};
  HEARTH_ASSIGN_OR_RETURN(const LeftOut out, parse_left_out(text));
  spdlog::info("GPU {} goes without {}: HEARTH_GPU_WITHOUT", index, text);
  return out;
}

class CudaDevice final : public Device {
 public:
  CudaDevice(DeviceInfo info, int shared_bytes_per_cta, LeftOut without)
      : info_(std::move(info)), shared_(info_.index) {
    const CurrentDevice current(info_.index);
    check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
    check_cuda(cudaEventCreateWithFlags(&uploaded_, cudaEventDisableTiming), "cudaEventCreate");
    op_.stream = stream_;
    op_.device = info_.index;
    op_.multiprocessors = info_.multiprocessors;
    op_.capability = info_.capability;
    const bool is_90 = kBuiltFor90a && info_.capability == 90;
    op_.has_group_products = is_90 && !without.warpgroups;
    op_.begins_early = is_90 && !without.overlap;
    op_.shared_bytes_per_cta = static_cast<size_t>(shared_bytes_per_cta);
  }
  ~CudaDevice() override {
    const CurrentDevice current(info_.index);
    records_.clear();
    gemm_.reset();
    gemm_workspace_.reset();
    scratch_.reset();
    step_.reset();
    if (pinned_ != nullptr) check_cuda(cudaFreeHost(pinned_), "cudaFreeHost");
    check_cuda(cudaEventDestroy(uploaded_), "cudaEventDestroy");
    check_cuda(cudaStreamDestroy(stream_), "cudaStreamDestroy");
  }

  const DeviceInfo& info() const override { return info_; }
  const KernelTable& table() const override { return cuda::kernel_table(); }
  ExecContext context() override {
    // Launches go to the thread's current device. While a step is recorded it is this one already.
    int current = 0;
    check_cuda(cudaGetDevice(&current), "cudaGetDevice");
    if (current != info_.index) check_cuda(cudaSetDevice(info_.index), "cudaSetDevice");
    return {.stream = &op_};
  }

  Result<DeviceMemory> allocate(size_t bytes, const char* what) override {
    const CurrentDevice current(info_.index);
    void* data = nullptr;
    const cudaError_t error = cudaMalloc(&data, bytes);
    if (error == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());
      return fail(ErrorCode::kResourceExhausted, "GPU " + std::to_string(info_.index) + " has no " +
                                                     std::to_string(bytes) + " bytes left for " +
                                                     what);
    }
    check_cuda(error, "cudaMalloc");
    return DeviceMemory(*this, data, bytes);
  }

  void upload(void* to, const void* from, size_t bytes) override {
    copy_on_stream(to, from, bytes, "upload");
    wait();
  }
  void download(void* to, const void* from, size_t bytes) override {
    copy_on_stream(to, from, bytes, "download");
    wait();
  }
  void copy(void* to, const void* from, size_t bytes) override {
    const CurrentDevice current(info_.index);
    const int error = cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_);
    if (op_.capture_error == nullptr) {
      check_cuda(error, "copy");
    } else if (*op_.capture_error == cudaSuccess) {
      *op_.capture_error = error;
    }
  }

  Result<PinnedMemory> allocate_pinned(size_t bytes, const char* what) override {
    const CurrentDevice current(info_.index);
    void* data = nullptr;
    const cudaError_t error = cudaHostAlloc(&data, bytes, cudaHostAllocPortable);
    if (error == cudaSuccess) return PinnedMemory(*this, data, bytes);
    static_cast<void>(cudaGetLastError());  // or the next call would report it
    return fail(ErrorCode::kResourceExhausted, "no " + std::to_string(bytes) +
                                                   " bytes of pinned host memory for " + what +
                                                   ": " + cudaGetErrorString(error));
  }
  void enqueue_upload(void* to, const void* from, size_t bytes) override {
    copy_on_stream(to, from, bytes, "upload");
    note_upload();
  }
  void enqueue_download(void* to, const void* from, size_t bytes) override {
    copy_on_stream(to, from, bytes, "download");
  }
  void wait_for_uploads() override {
    check_cuda(cudaEventSynchronize(uploaded_), "wait for uploads");
  }
  void wait() override { check_cuda(cudaStreamSynchronize(stream_), "wait"); }

  void run_recorded(int64_t kind, const std::function<void()>& ops) override {
    records_.run({.kind = kind, .rows = op_.step.rows, .longest = op_.step.longest}, ops,
                 [this](const auto& recorded) { return capture_step(op_, recorded); });
  }

  Result<std::unique_ptr<DeviceLink>> link_from(Device& source, size_t bytes) override {
    return make_cuda_link(source, *this, bytes);
  }

  Status upload_all(std::span<const UploadPiece> pieces, const UploadProgress& progress) override {
    const CurrentDevice current(info_.index);
    std::vector<std::unique_ptr<UploadLane>> lanes;
    for (int i = 0; i < kUploadLanes; ++i)
      lanes.push_back(std::make_unique<PinnedLane>(info_.index));
    return upload_in_lanes(pieces, lanes, progress);
  }
  Result<SharedMemory> allocate_shared(size_t bytes, const char* what) override {
    const CurrentDevice current(info_.index);
    HEARTH_ASSIGN_OR_RETURN(auto created, shared_.create(bytes, what));
    return SharedMemory{DeviceMemory(*this, created.data, bytes), std::move(created.handle)};
  }
  Result<DeviceMemory> map_shared(const UniqueFd& handle, size_t bytes) override {
    const CurrentDevice current(info_.index);
    HEARTH_ASSIGN_OR_RETURN(void* const data, shared_.map(handle.get(), bytes));
    return DeviceMemory(*this, data, bytes);
  }
  void protect_shared(const DeviceMemory& memory) override { shared_.protect(memory.data()); }

  Status reserve(size_t scratch_bytes, int64_t rows, int64_t logit_rows, int64_t pages) override {
    HEARTH_ASSIGN_OR_RETURN(scratch_, allocate(scratch_bytes, "scratch"));
    staging_ = StepStaging(rows, logit_rows, pages);
    HEARTH_ASSIGN_OR_RETURN(step_, allocate(staging_.capacity_bytes(), "a step's input"));
    const CurrentDevice current(info_.index);
    check_cuda(cudaMallocHost(&pinned_, staging_.capacity_bytes()), "cudaMallocHost");
    op_.scratch = scratch_->data();
    op_.scratch_bytes = scratch_bytes;
    return {};
  }

  Result<std::string> use_gemm_library() override {
    // Once for the process, however many GPUs it has.
    static const auto library = load_cublas(cublas_names(CUDART_VERSION / 1000));
    if (!library.has_value()) return std::unexpected(library.error());
    HEARTH_ASSIGN_OR_RETURN(auto workspace, allocate(kGemmWorkspaceBytes, "cuBLAS"));
    const CurrentDevice current(info_.index);
    auto gemm = CublasGemm::create(*library, stream_, workspace.data(), workspace.bytes());
    static_cast<void>(cudaGetLastError());  // or the next call would report what the library met
    if (!gemm.has_value()) return std::unexpected(gemm.error());
    gemm_workspace_ = std::move(workspace);
    gemm_ = std::move(*gemm);
    op_.gemm = gemm_.get();
    return gemm_->name();
  }

  StepPointers begin_step(const StepInput& input) override {
    HEARTH_CHECK(step_.has_value(), "the device was told of its largest step");
    staging_.fill(input);
    wait_for_uploads();  // the last step's may still have to be read
    const auto bytes = staging_.bytes();
    std::copy(bytes.begin(), bytes.end(), static_cast<std::byte*>(pinned_));
    copy_on_stream(step_->data(), pinned_, bytes.size(), "upload of a step");
    note_upload();
    op_.step = staging_.tables(step_->data());
    return staging_.pointers(step_->data());
  }

 private:
  void release(void* data, size_t) override {
    const CurrentDevice current(info_.index);
    if (!shared_.release(data)) check_cuda(cudaFree(data), "cudaFree");
  }
  void release_pinned(void* data) override { check_cuda(cudaFreeHost(data), "cudaFreeHost"); }
  /// Between any two of this device and the host: addresses say which is where.
  void copy_on_stream(void* to, const void* from, size_t bytes, const char* what) {
    const CurrentDevice current(info_.index);
    check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_), what);
  }
  void note_upload() {
    const CurrentDevice current(info_.index);
    check_cuda(cudaEventRecord(uploaded_, stream_), "cudaEventRecord");
  }

  DeviceInfo info_;
  CudaSharedMemory shared_;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t uploaded_ = nullptr;  // after the last upload that the host did not wait for
  simt::OpContext op_;
  std::optional<DeviceMemory> scratch_;
  std::optional<DeviceMemory> step_;
  std::optional<DeviceMemory> gemm_workspace_;
  std::unique_ptr<CublasGemm> gemm_;
  StepStaging staging_;
  void* pinned_ = nullptr;
  StepRecords records_;
};

}  // namespace

int cuda_device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    static_cast<void>(cudaGetLastError());  // or the next call would report it
    return 0;
  }
  return count;
}

std::string why_no_cuda_device() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  static_cast<void>(cudaGetLastError());
  if (error == cudaErrorInsufficientDriver)
    return "there is no NVIDIA driver, or one older than this build's CUDA needs";
  return error == cudaSuccess ? "the driver shows none" : cudaGetErrorString(error);
}

Result<DeviceInfo> cuda_device_info(int index) {
  const int count = std::min(cuda_device_count(), simt::kMaxDevices);
  if (count == 0)
    return fail(ErrorCode::kUnsupported, "no GPU can be used: " + why_no_cuda_device());
  if (index < 0 || index >= count)
    return fail(ErrorCode::kUnsupported, "GPU " + std::to_string(index) +
                                             " is not there: this machine has " +
                                             std::to_string(count) + ", counted from 0");
  cudaDeviceProp properties;
  DeviceInfo info;
  info.index = index;
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  for (const cudaError_t error : {cudaGetDeviceProperties(&properties, index), cudaSetDevice(index),
                                  cudaMemGetInfo(&free_bytes, &total_bytes)}) {
    if (error == cudaSuccess) continue;
    static_cast<void>(cudaGetLastError());
    return unusable(index, cudaGetErrorString(error));
  }
  info.name = properties.name;
  info.capability = 10 * properties.major + properties.minor;
  info.multiprocessors = properties.multiProcessorCount;
  info.total_bytes = total_bytes;
  info.free_bytes = free_bytes;
  info.uuid = uuid_text(properties.uuid);
  info.context_bytes = kCudaContextBytes;
  if (info.capability < kOldestCapability)
    return unusable(index, info.name + " is of compute capability " +
                               std::to_string(info.capability / 10) + "." +
                               std::to_string(info.capability % 10) + ", at least 7.5 is needed");
  if (const auto trial = CudaSharedMemory::try_out(index); !trial.has_value())
    info.why_not_shared = trial.error().message;
  return info;
}

Result<std::unique_ptr<Device>> open_cuda_device(int index) {
  HEARTH_ASSIGN_OR_RETURN(DeviceInfo info, cuda_device_info(index));
  int shared_bytes = 0;
  check_cuda(cudaDeviceGetAttribute(&shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, index),
             "cudaDeviceGetAttribute");
  HEARTH_ASSIGN_OR_RETURN(const LeftOut without, left_out(index));
  return std::make_unique<CudaDevice>(std::move(info), shared_bytes, without);
}

}  // namespace hearth::kernels
