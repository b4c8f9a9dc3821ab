#include "kernels/cuda/runtime/shared_memory.h"

#include <cuda.h>
#include <cuda_runtime_api.h>
#include <fcntl.h>
#include <spdlog/spdlog.h>

#include <cstdint>
#include <string>

#include "base/check.h"

namespace hearth::kernels {
namespace {

constexpr auto kHandleType = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;

/// The driver's functions. cuda.h gives their types alone: nothing links the driver.
struct Driver {
  decltype(&cuDeviceGetAttribute) device_get_attribute = nullptr;
  decltype(&cuGetErrorName) get_error_name = nullptr;
  decltype(&cuMemAddressFree) address_free = nullptr;
  decltype(&cuMemAddressReserve) address_reserve = nullptr;
  decltype(&cuMemCreate) create = nullptr;
  decltype(&cuMemExportToShareableHandle) export_handle = nullptr;
  decltype(&cuMemGetAllocationGranularity) granularity = nullptr;
  decltype(&cuMemGetAllocationPropertiesFromHandle) properties = nullptr;
  decltype(&cuMemImportFromShareableHandle) import_handle = nullptr;
  decltype(&cuMemMap) map = nullptr;
  decltype(&cuMemRelease) release = nullptr;
  decltype(&cuMemSetAccess) set_access = nullptr;
  decltype(&cuMemUnmap) unmap = nullptr;
  std::string missing;  // the first function that the driver lacks
};

/// The oldest version of these functions' signatures: that of CUDA 12, which all drivers have that
/// this build runs on.
constexpr unsigned kSignatures = 12000;

template <typename Function>
void find(Driver& driver, Function& function, const char* name) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result{};
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion(name, &found, kSignatures, cudaEnableDefault, &result);
  static_cast<void>(cudaGetLastError());
  if (error == cudaSuccess && result == cudaDriverEntryPointSuccess && found != nullptr) {
    function = reinterpret_cast<Function>(found);
  } else if (driver.missing.empty()) {
    driver.missing = name;
  }
}

Driver find_driver() {
  Driver driver;
  find(driver, driver.device_get_attribute, "cuDeviceGetAttribute");
  find(driver, driver.get_error_name, "cuGetErrorName");
  find(driver, driver.address_free, "cuMemAddressFree");
  find(driver, driver.address_reserve, "cuMemAddressReserve");
  find(driver, driver.create, "cuMemCreate");
  find(driver, driver.export_handle, "cuMemExportToShareableHandle");
  find(driver, driver.granularity, "cuMemGetAllocationGranularity");
  find(driver, driver.properties, "cuMemGetAllocationPropertiesFromHandle");
  find(driver, driver.import_handle, "cuMemImportFromShareableHandle");
  find(driver, driver.map, "cuMemMap");
  find(driver, driver.release, "cuMemRelease");
  find(driver, driver.set_access, "cuMemSetAccess");
  find(driver, driver.unmap, "cuMemUnmap");
  return driver;
}

const Driver& driver() {
  static const Driver found = find_driver();
  return found;
}

std::string name_of(CUresult error) {
  const char* name = nullptr;
  if (driver().get_error_name(error, &name) != CUDA_SUCCESS || name == nullptr)
    return "CUDA error " + std::to_string(static_cast<int>(error));
  return name;
}

std::unexpected<Error> refused(int device, const char* call, CUresult error) {
  const auto code =
      error == CUDA_ERROR_OUT_OF_MEMORY ? ErrorCode::kResourceExhausted : ErrorCode::kUnsupported;
  return fail(code, "GPU " + std::to_string(device) + ": " + call + ": " + name_of(error));
}

/// For calls that fail by our own mistakes alone.
void must(CUresult error, const char* call) {
  if (error != CUDA_SUCCESS) [[unlikely]]
    check_failed(__FILE__, __LINE__, call, name_of(error).c_str());
}

CUmemAllocationProp properties_of(int device) {
  CUmemAllocationProp out{};
  out.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  out.requestedHandleTypes = kHandleType;
  out.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  out.location.id = device;
  return out;
}

/// A reference to physical memory. Mappings and exported descriptors hold it as well.
class Handle {
 public:
  explicit Handle(CUmemGenericAllocationHandle handle) : handle_(handle) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { must(driver().release(handle_), "cuMemRelease"); }
  [[nodiscard]] CUmemGenericAllocationHandle get() const { return handle_; }

 private:
  CUmemGenericAllocationHandle handle_;
};

Result<size_t> granularity_of(int device) {
  const CUmemAllocationProp properties = properties_of(device);
  size_t bytes = 0;
  const CUresult error =
      driver().granularity(&bytes, &properties, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED);
  if (error != CUDA_SUCCESS || bytes == 0)
    return refused(device, "cuMemGetAllocationGranularity", error);
  return bytes;
}

Result<size_t> padded(int device, size_t bytes) {
  HEARTH_ASSIGN_OR_RETURN(const size_t unit, granularity_of(device));
  return (bytes + unit - 1) / unit * unit;
}

CUresult set_access(int device, void* data, size_t bytes, CUmemAccess_flags flags) {
  CUmemAccessDesc access{};
  access.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  access.location.id = device;
  access.flags = flags;
  return driver().set_access(reinterpret_cast<CUdeviceptr>(data), bytes, &access, 1);
}

/// A driver that cannot take the right to write from a mapping must not keep the model from being
/// served: the kernels only read weights.
CUresult set_read_only(int device, void* data, size_t bytes) {
  const CUresult error = set_access(device, data, bytes, CU_MEM_ACCESS_FLAGS_PROT_READ);
  if (error != CUDA_ERROR_NOT_SUPPORTED && error != CUDA_ERROR_INVALID_VALUE) return error;
  spdlog::warn("GPU {} maps the shared weights for writing too: read-only mappings: {}", device,
               name_of(error));
  return set_access(device, data, bytes, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
}

void unmap(void* data, size_t bytes) {
  const auto address = reinterpret_cast<CUdeviceptr>(data);
  must(driver().unmap(address, bytes), "cuMemUnmap");
  must(driver().address_free(address, bytes), "cuMemAddressFree");
}

/// A new address range over `bytes`, a multiple of the granularity, of the memory.
Result<void*> map_handle(int device, const Handle& handle, size_t bytes, bool writable) {
  CUdeviceptr address = 0;
  if (const CUresult error = driver().address_reserve(&address, bytes, 0, 0, 0);
      error != CUDA_SUCCESS)
    return refused(device, "cuMemAddressReserve", error);
  if (const CUresult error = driver().map(address, bytes, 0, handle.get(), 0);
      error != CUDA_SUCCESS) {
    must(driver().address_free(address, bytes), "cuMemAddressFree");
    return refused(device, "cuMemMap", error);
  }
  auto* const data = reinterpret_cast<void*>(address);
  const CUresult error = writable
                             ? set_access(device, data, bytes, CU_MEM_ACCESS_FLAGS_PROT_READWRITE)
                             : set_read_only(device, data, bytes);
  if (error != CUDA_SUCCESS) {
    unmap(data, bytes);
    return refused(device, "cuMemSetAccess", error);
  }
  return data;
}

/// The descriptor as the driver gives it may be inherited by children; this one is not.
Result<UniqueFd> export_handle(int device, const Handle& handle) {
  int fd = -1;
  if (const CUresult error = driver().export_handle(&fd, handle.get(), kHandleType, 0);
      error != CUDA_SUCCESS)
    return refused(device, "cuMemExportToShareableHandle", error);
  UniqueFd owned(fd);
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
    return fail(ErrorCode::kIo, "cannot mark the descriptor of shared weights close-on-exec");
  return owned;
}

}  // namespace

Status CudaSharedMemory::try_out(int device) {
  if (!driver().missing.empty())
    return fail(ErrorCode::kUnsupported, "the driver has no " + driver().missing);
  for (const auto& [attribute, name] :
       {std::pair{CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED,
                  "virtual memory management"},
        std::pair{CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED,
                  "memory that is exported as a file descriptor"}}) {
    int value = 0;
    // Ordinals of the driver and the runtime are the same.
    if (driver().device_get_attribute(&value, attribute, device) != CUDA_SUCCESS || value == 0)
      return fail(ErrorCode::kUnsupported, "GPU " + std::to_string(device) + " has no " + name);
  }
  CudaSharedMemory memory(device);
  HEARTH_ASSIGN_OR_RETURN(const Created created, memory.create(1, "a trial"));
  const auto again = memory.map(created.handle.get(), 1);
  memory.release(created.data);
  HEARTH_RETURN_IF_ERROR(again);
  memory.release(*again);
  return {};
}

Result<CudaSharedMemory::Created> CudaSharedMemory::create(size_t bytes, const char* what) {
  HEARTH_ASSIGN_OR_RETURN(const size_t size, padded(device_, bytes));
  const CUmemAllocationProp properties = properties_of(device_);
  CUmemGenericAllocationHandle raw = 0;
  const CUresult error = driver().create(&raw, size, &properties, 0);
  if (error == CUDA_ERROR_OUT_OF_MEMORY)
    return fail(ErrorCode::kResourceExhausted, "GPU " + std::to_string(device_) + " has no " +
                                                   std::to_string(size) + " bytes left for " +
                                                   what);
  if (error != CUDA_SUCCESS) return refused(device_, "cuMemCreate", error);
  const Handle handle(raw);
  HEARTH_ASSIGN_OR_RETURN(UniqueFd fd, export_handle(device_, handle));
  HEARTH_ASSIGN_OR_RETURN(void* const data, map_handle(device_, handle, size, true));
  mappings_.emplace(data, size);
  return Created{data, std::move(fd)};
}

Result<void*> CudaSharedMemory::map(int handle, size_t bytes) {
  HEARTH_ASSIGN_OR_RETURN(const size_t size, padded(device_, bytes));
  CUmemGenericAllocationHandle raw = 0;
  const auto described = reinterpret_cast<void*>(static_cast<uintptr_t>(handle));
  const auto wrong = [this](const std::string& why) {
    return fail(ErrorCode::kMalformed,
                "GPU " + std::to_string(device_) + " cannot map the shared weights: " + why);
  };
  if (const CUresult error = driver().import_handle(&raw, described, kHandleType);
      error != CUDA_SUCCESS)
    return wrong("cuMemImportFromShareableHandle: " + name_of(error));
  const Handle imported(raw);
  CUmemAllocationProp properties{};
  if (const CUresult error = driver().properties(&properties, raw); error != CUDA_SUCCESS)
    return wrong("cuMemGetAllocationPropertiesFromHandle: " + name_of(error));
  if (properties.location.type != CU_MEM_LOCATION_TYPE_DEVICE || properties.location.id != device_)
    return wrong("they are memory of another device");
  auto data = map_handle(device_, imported, size, false);
  if (!data.has_value()) return wrong(data.error().message);
  mappings_.emplace(*data, size);
  return *data;
}

void CudaSharedMemory::protect(void* data) {
  must(set_read_only(device_, data, mappings_.at(data)), "cuMemSetAccess");
}

bool CudaSharedMemory::release(void* data) {
  const auto found = mappings_.find(data);
  if (found == mappings_.end()) return false;
  unmap(found->first, found->second);
  mappings_.erase(found);
  return true;
}

}  // namespace hearth::kernels
