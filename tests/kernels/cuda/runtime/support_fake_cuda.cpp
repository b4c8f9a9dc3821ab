#include "tests/kernels/cuda/runtime/support_fake_cuda.h"

#include <cuda_runtime_api.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/check.h"
#include "base/unique_fd.h"
#include "kernels/cuda/op_context.h"

namespace hearth::testing {

FakeCuda& fake_cuda() {
  static FakeCuda fake;
  return fake;
}

FakeCudaScope::~FakeCudaScope() { CHECK(fake_cuda().nothing_left()); }

namespace {

std::map<CUmemGenericAllocationHandle, UniqueFd> handles;
CUmemGenericAllocationHandle last_handle = 0;

CUmemGenericAllocationHandle new_handle(UniqueFd fd) {
  handles.emplace(++last_handle, std::move(fd));
  ++fake_cuda().handles;
  return last_handle;
}

CUresult device_get_attribute(int* value, CUdevice_attribute attribute, CUdevice) {
  *value = attribute == CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED
               ? fake_cuda().virtual_memory
               : fake_cuda().posix_handles;
  return CUDA_SUCCESS;
}
CUresult get_error_name(CUresult, const char** name) {
  *name = "CUDA_ERROR_OF_THE_TEST";
  return CUDA_SUCCESS;
}
CUresult granularity(size_t* bytes, const CUmemAllocationProp* properties,
                     CUmemAllocationGranularity_flags) {
  CHECK(properties->type == CU_MEM_ALLOCATION_TYPE_PINNED);
  CHECK(properties->location.type == CU_MEM_LOCATION_TYPE_DEVICE);
  *bytes = kGranularity;
  return CUDA_SUCCESS;
}
CUresult create(CUmemGenericAllocationHandle* handle, size_t bytes,
                const CUmemAllocationProp* properties, unsigned long long flags) {
  if (fake_cuda().create != CUDA_SUCCESS) return fake_cuda().create;
  CHECK(properties->requestedHandleTypes == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
  CHECK(flags == 0);
  if (bytes == 0 || bytes % kGranularity != 0) return CUDA_ERROR_INVALID_VALUE;
  UniqueFd fd(::memfd_create("fake", 0));
  HEARTH_CHECK(::ftruncate(fd.get(), static_cast<off_t>(bytes)) == 0, "a memfd");
  *handle = new_handle(std::move(fd));
  return CUDA_SUCCESS;
}
CUresult release(CUmemGenericAllocationHandle handle) {
  if (handles.erase(handle) == 0) return CUDA_ERROR_INVALID_VALUE;
  --fake_cuda().handles;
  return CUDA_SUCCESS;
}
/// Without close-on-exec, as the driver may do it.
CUresult export_handle(void* out, CUmemGenericAllocationHandle handle, CUmemAllocationHandleType,
                       unsigned long long) {
  if (fake_cuda().export_handle != CUDA_SUCCESS) return fake_cuda().export_handle;
  const int fd = ::dup(handles.at(handle).get());
  std::memcpy(out, &fd, sizeof fd);
  return CUDA_SUCCESS;
}
CUresult import_handle(CUmemGenericAllocationHandle* handle, void* described,
                       CUmemAllocationHandleType) {
  const int fd = static_cast<int>(reinterpret_cast<intptr_t>(described));
  if (::fcntl(fd, F_GET_SEALS) < 0) return CUDA_ERROR_INVALID_VALUE;
  *handle = new_handle(UniqueFd(::dup(fd)));
  return CUDA_SUCCESS;
}
CUresult properties(CUmemAllocationProp* out, CUmemGenericAllocationHandle handle) {
  CHECK(handles.contains(handle));
  out->location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  out->location.id = fake_cuda().memory_device;
  return CUDA_SUCCESS;
}
CUresult address_reserve(CUdeviceptr* address, size_t bytes, size_t, CUdeviceptr,
                         unsigned long long) {
  if (bytes % kGranularity != 0) return CUDA_ERROR_INVALID_VALUE;
  void* const data = ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  HEARTH_CHECK(data != MAP_FAILED, "mmap");
  *address = reinterpret_cast<CUdeviceptr>(data);
  ++fake_cuda().ranges;
  return CUDA_SUCCESS;
}
CUresult address_free(CUdeviceptr address, size_t bytes) {
  ::munmap(reinterpret_cast<void*>(address), bytes);
  --fake_cuda().ranges;
  return CUDA_SUCCESS;
}
/// Accessible only after set_access().
CUresult map(CUdeviceptr address, size_t bytes, size_t, CUmemGenericAllocationHandle handle,
             unsigned long long) {
  if (fake_cuda().map != CUDA_SUCCESS) return fake_cuda().map;
  const int fd = handles.at(handle).get();
  struct stat status {};
  if (::fstat(fd, &status) != 0 || static_cast<size_t>(status.st_size) < bytes)
    return CUDA_ERROR_INVALID_VALUE;
  void* const data =
      ::mmap(reinterpret_cast<void*>(address), bytes, PROT_NONE, MAP_SHARED | MAP_FIXED, fd, 0);
  HEARTH_CHECK(data != MAP_FAILED, "mmap");
  ++fake_cuda().mappings;
  return CUDA_SUCCESS;
}
CUresult unmap(CUdeviceptr address, size_t bytes) {
  void* const data = ::mmap(reinterpret_cast<void*>(address), bytes, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  HEARTH_CHECK(data != MAP_FAILED, "mmap");
  --fake_cuda().mappings;
  return CUDA_SUCCESS;
}
CUresult set_access(CUdeviceptr address, size_t bytes, const CUmemAccessDesc* access,
                    size_t count) {
  CHECK(count == 1);
  const bool reads = access->flags == CU_MEM_ACCESS_FLAGS_PROT_READ;
  if (reads && fake_cuda().read_only != CUDA_SUCCESS) return fake_cuda().read_only;
  HEARTH_CHECK(::mprotect(reinterpret_cast<void*>(address), bytes,
                          reads ? PROT_READ : PROT_READ | PROT_WRITE) == 0,
               "mprotect");
  return CUDA_SUCCESS;
}

struct Function {
  std::string_view name;
  void* function;
};
template <typename F>
Function entry(std::string_view name, F* function) {
  return {name, reinterpret_cast<void*>(function)};
}

/// The type of a fake is that of the driver's function.
#define FAKE(driver, fake)                                                 \
  [] {                                                                     \
    static_assert(std::is_same_v<decltype(&(driver)), decltype(&(fake))>); \
    return entry(#driver, &(fake));                                        \
  }()

const std::vector<Function>& functions() {
  static const std::vector<Function> all{FAKE(cuDeviceGetAttribute, device_get_attribute),
                                         FAKE(cuGetErrorName, get_error_name),
                                         FAKE(cuMemGetAllocationGranularity, granularity),
                                         FAKE(cuMemCreate, create),
                                         FAKE(cuMemRelease, release),
                                         FAKE(cuMemExportToShareableHandle, export_handle),
                                         FAKE(cuMemImportFromShareableHandle, import_handle),
                                         FAKE(cuMemGetAllocationPropertiesFromHandle, properties),
                                         FAKE(cuMemAddressReserve, address_reserve),
                                         FAKE(cuMemAddressFree, address_free),
                                         FAKE(cuMemMap, map),
                                         FAKE(cuMemUnmap, unmap),
                                         FAKE(cuMemSetAccess, set_access)};
  return all;
}
#undef FAKE

/// A stream does its copies when somebody waits for them.
struct FakeStream {
  std::vector<std::function<void()>> copies;
  void run() {
    for (const auto& copy : copies) copy();
    copies.clear();
  }
};
struct FakeEvent {
  FakeStream* recorded = nullptr;
};

}  // namespace
}  // namespace hearth::testing

// The runtime's functions.
using hearth::testing::fake_cuda;
using hearth::testing::FakeEvent;
using hearth::testing::FakeStream;

namespace hearth::kernels::simt {
void check_cuda(int error, const char* call) { HEARTH_CHECK(error == cudaSuccess, call); }
}  // namespace hearth::kernels::simt

extern "C" {

cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned int,
                                             unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  for (const auto& each : hearth::testing::functions()) {
    if (each.name != symbol) continue;
    *function = each.function;
    *result = cudaDriverEntryPointSuccess;
    return cudaSuccess;
  }
  *result = cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaMallocHost(void** data, size_t bytes) {
  *data = ::operator new(bytes);
  ++fake_cuda().pinned;
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* data) {
  ::operator delete(data);
  --fake_cuda().pinned;
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int) {
  *stream = reinterpret_cast<cudaStream_t>(new FakeStream);
  ++fake_cuda().streams;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete reinterpret_cast<FakeStream*>(stream);
  --fake_cuda().streams;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  reinterpret_cast<FakeStream*>(stream)->run();
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int) {
  *event = reinterpret_cast<cudaEvent_t>(new FakeEvent);
  ++fake_cuda().events;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete reinterpret_cast<FakeEvent*>(event);
  --fake_cuda().events;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  reinterpret_cast<FakeEvent*>(event)->recorded = reinterpret_cast<FakeStream*>(stream);
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  FakeStream* const stream = reinterpret_cast<FakeEvent*>(event)->recorded;
  if (stream == nullptr) {
    ++fake_cuda().early_waits;
  } else {
    stream->run();
  }
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  CHECK(kind == cudaMemcpyHostToDevice);
  reinterpret_cast<FakeStream*>(stream)->copies.emplace_back([=] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}
}
