#include "kernels/cuda/upload_lanes.h"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <numeric>
#include <thread>

#include "kernels/cuda/emulator/emulated_device.h"
#include "tests/kernels/cuda/support_device.h"

namespace hearth::kernels {
namespace {

/// Copies, and notes what was asked of it.
class TestLane final : public UploadLane {
 public:
  void begin() override { ++begun; }
  void put(void* to, const void* from, size_t bytes) override {
    CHECK(begun == 1);
    CHECK(bytes <= kUploadChunkBytes);
    std::memcpy(to, from, bytes);
    put_bytes += bytes;
    while (held) std::this_thread::yield();
    std::this_thread::sleep_for(pause);
  }
  void finish() override { ++finished; }

  std::atomic<bool> held{false};
  std::chrono::milliseconds pause{0};
  int begun = 0;
  int finished = 0;
  size_t put_bytes = 0;
};

std::vector<std::byte> pattern(size_t bytes) {
  std::vector<std::byte> out(bytes);
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<std::byte>(i * 2654435761U >> 13);
  return out;
}

struct Lanes {
  explicit Lanes(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      made.push_back(std::make_unique<TestLane>());
      all.push_back(static_cast<TestLane*>(made.back().get()));
    }
  }
  std::vector<std::unique_ptr<UploadLane>> made;
  std::vector<TestLane*> all;
};

}  // namespace

TEST_CASE("an upload in lanes: every byte once, whatever the pieces and the number of lanes") {
  const std::vector<size_t> sizes{1, 0, kUploadChunkBytes, kUploadChunkBytes + 1, 777, 0};
  const size_t total = std::accumulate(sizes.begin(), sizes.end(), size_t{0});
  const auto from = pattern(total);
  for (const size_t count : {size_t{1}, size_t{4}}) {
    std::vector<std::byte> to(total);
    std::vector<UploadPiece> pieces;
    size_t at = 0;
    for (const size_t size : sizes) {
      pieces.push_back({to.data() + at, from.data() + at, size});
      at += size;
    }
    Lanes lanes(count);
    uint64_t last = 0;
    const auto status = upload_in_lanes(pieces, lanes.made, [&](uint64_t done) -> Status {
      CHECK(done >= last);
      last = done;
      return {};
    });
    REQUIRE(status.has_value());
    CHECK(last == total);
    CHECK(to == from);
    size_t put = 0;
    for (const TestLane* lane : lanes.all) {
      CHECK(lane->begun == 1);
      CHECK(lane->finished == 1);
      put += lane->put_bytes;
    }
    CHECK(put == total);
  }
  CHECK(upload_in_lanes({}, Lanes(2).made, {}).has_value());
}

TEST_CASE("an upload in lanes ends early by an error of its progress, with all lanes finished") {
  const auto from = pattern(4 * kUploadChunkBytes);
  std::vector<std::byte> to(from.size());
  const UploadPiece piece{to.data(), from.data(), from.size()};
  Lanes lanes(1);
  lanes.all[0]->held = true;  // until the error is out
  lanes.all[0]->pause = std::chrono::milliseconds(20);
  const auto status = upload_in_lanes({&piece, 1}, lanes.made, [&](uint64_t done) -> Status {
    CHECK(done == 0);
    lanes.all[0]->held = false;
    return fail(ErrorCode::kUnavailable, "the gateway ends");
  });
  REQUIRE_FALSE(status.has_value());
  CHECK(status.error().message == "the gateway ends");
  CHECK(lanes.all[0]->finished == 1);
  CHECK(lanes.all[0]->put_bytes < from.size());  // not the rest
}

TEST_CASE("device memory that processes share: uploaded, mapped again through its descriptor") {
  for (Device* device : testing::test_devices()) {
    CAPTURE(device->info().name);
    if (!device->info().why_not_shared.empty()) {
      MESSAGE("no shared memory: " << device->info().why_not_shared);
      continue;
    }
    const auto from = pattern(3 * kUploadChunkBytes + 100);
    DeviceMemory mapped;
    {
      auto shared = device->allocate_shared(from.size(), "a test");
      REQUIRE(shared.has_value());
      const UploadPiece piece{shared->memory.data(), from.data(), from.size()};
      REQUIRE(device->upload_all({&piece, 1}, {}).has_value());
      device->protect_shared(shared->memory);
      auto again = device->map_shared(shared->handle, from.size());
      REQUIRE(again.has_value());
      CHECK(again->data() != shared->memory.data());
      mapped = std::move(*again);
    }  // the first mapping and the descriptor are gone; the memory is not
    std::vector<std::byte> back(from.size());
    device->download(back.data(), mapped.data(), back.size());
    CHECK(back == from);
  }
}

TEST_CASE("a descriptor that is no memory of the device, or of too little, is refused") {
  for (Device* device : testing::test_devices()) {
    if (!device->info().why_not_shared.empty()) continue;
    const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    CHECK_FALSE(device->map_shared(null, 4096).has_value());
    CHECK_FALSE(device->map_shared(UniqueFd(), 4096).has_value());
    const auto shared = device->allocate_shared(4096, "a test");
    REQUIRE(shared.has_value());
    CHECK_FALSE(device->map_shared(shared->handle, size_t{1} << 30).has_value());
  }
}

TEST_CASE("a device that cannot share says why") {
  EmulatedDeviceOptions options;
  options.why_not_shared = "the driver is too old";
  const auto device = make_emulated_device(options);
  const auto refused = device->allocate_shared(1, "a test");
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::kUnsupported);
  CHECK(refused.error().message == "the driver is too old");
  CHECK_FALSE(device->map_shared(UniqueFd(), 1).has_value());
}

}  // namespace hearth::kernels
