// Memory that processes share, against a driver that the test plays.

#include "kernels/cuda/runtime/shared_memory.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "tests/kernels/cuda/runtime/support_fake_cuda.h"

using namespace hearth;
using namespace hearth::kernels;
using namespace hearth::testing;

namespace {

constexpr size_t kBytes = kGranularity + 1;  // padded to two units

int open_descriptors() {
  return static_cast<int>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

}  // namespace

TEST_CASE("memory is made, filled, exported, mapped elsewhere, and gone at the end") {
  const int before = open_descriptors();
  {
    const FakeCudaScope scope;
    CudaSharedMemory uploader(0);
    CudaSharedMemory reader(0);  // as in another process
    auto created = uploader.create(kBytes, "the weights");
    REQUIRE(created.has_value());
    CHECK(fake_cuda().handles == 0);  // the mapping and the descriptor hold it
    CHECK((::fcntl(created->handle.get(), F_GETFD) & FD_CLOEXEC) != 0);
    struct stat status {};
    REQUIRE(::fstat(created->handle.get(), &status) == 0);
    CHECK(status.st_size == 2 * kGranularity);
    std::memset(created->data, 7, kBytes);
    uploader.protect(created->data);
    const auto mapped = reader.map(created->handle.get(), kBytes);
    REQUIRE(mapped.has_value());
    CHECK(fake_cuda().handles == 0);
    CHECK(*mapped != created->data);
    CHECK(uploader.release(created->data));
    CHECK(static_cast<const char*>(*mapped)[kBytes - 1] == 7);
    CHECK_FALSE(uploader.release(created->data));  // once
    CHECK(reader.release(*mapped));
    int other = 0;
    CHECK_FALSE(reader.release(&other));
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("a GPU that can share is found by trying; one that cannot says what it lacks") {
  const FakeCudaScope scope;
  CHECK(CudaSharedMemory::try_out(0).has_value());
  CHECK(fake_cuda().nothing_left());
  const auto why = [] {
    const auto status = CudaSharedMemory::try_out(0);
    REQUIRE_FALSE(status.has_value());
    CHECK(fake_cuda().nothing_left());
    return status.error().message;
  };
  fake_cuda().posix_handles = 0;
  CHECK(why() == "GPU 0 has no memory that is exported as a file descriptor");
  fake_cuda().virtual_memory = 0;
  CHECK(why() == "GPU 0 has no virtual memory management");
  fake_cuda() = {};
  fake_cuda().create = CUDA_ERROR_NOT_PERMITTED;  // as in some containers
  CHECK(why() == "GPU 0: cuMemCreate: CUDA_ERROR_OF_THE_TEST");
  fake_cuda() = {};
  fake_cuda().export_handle = CUDA_ERROR_NOT_SUPPORTED;
  CHECK(why() == "GPU 0: cuMemExportToShareableHandle: CUDA_ERROR_OF_THE_TEST");
}

TEST_CASE("a full GPU is an error with the bytes; whatever fails leaves nothing") {
  const FakeCudaScope scope;
  CudaSharedMemory memory(0);
  fake_cuda().create = CUDA_ERROR_OUT_OF_MEMORY;
  const auto full = memory.create(kBytes, "the weights");
  REQUIRE_FALSE(full.has_value());
  CHECK(full.error().code == ErrorCode::kResourceExhausted);
  CHECK(full.error().message ==
        "GPU 0 has no " + std::to_string(2 * kGranularity) + " bytes left for the weights");
  fake_cuda() = {};
  fake_cuda().map = CUDA_ERROR_UNKNOWN;
  CHECK_FALSE(memory.create(kBytes, "the weights").has_value());
  CHECK(fake_cuda().nothing_left());
}

TEST_CASE("a descriptor that is not the weights is refused") {
  const FakeCudaScope scope;
  CudaSharedMemory memory(0);
  auto created = memory.create(kBytes, "the weights");
  REQUIRE(created.has_value());
  const auto why = [&](int fd, size_t bytes) {
    const auto mapped = memory.map(fd, bytes);
    REQUIRE_FALSE(mapped.has_value());
    CHECK(mapped.error().code == ErrorCode::kMalformed);
    CHECK(fake_cuda().handles == 0);
    CHECK(fake_cuda().mappings == 1);
    return mapped.error().message;
  };
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  CHECK(why(null.get(), kBytes).find("cuMemImportFromShareableHandle") != std::string::npos);
  CHECK(why(-1, kBytes).find("cuMemImportFromShareableHandle") != std::string::npos);
  CHECK(why(created->handle.get(), 10 * kBytes).find("cuMemMap") != std::string::npos);
  fake_cuda().memory_device = 1;
  CHECK(why(created->handle.get(), kBytes).find("another device") != std::string::npos);
  memory.release(created->data);
}

TEST_CASE("a driver without read-only mappings maps for writing rather than not at all") {
  const FakeCudaScope scope;
  CudaSharedMemory memory(0);
  auto created = memory.create(kBytes, "the weights");
  REQUIRE(created.has_value());
  fake_cuda().read_only = CUDA_ERROR_NOT_SUPPORTED;
  memory.protect(created->data);
  const auto mapped = memory.map(created->handle.get(), kBytes);
  REQUIRE(mapped.has_value());
  static_cast<char*>(*mapped)[0] = 1;
  CHECK(memory.release(created->data));
  CHECK(memory.release(*mapped));
}
