// Weights on a GPU, between a gateway and workers that the test plays.

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/server/gateway/gateway_harness.h"

using namespace hearth;
using namespace hearth::testing;

namespace {

const WeightsLayout kLayout{"GPU-1", 0, 4096, 11, 12};

ipc::Channel::Attachment memory() {
  UniqueFd fd(::memfd_create("weights", MFD_CLOEXEC));
  REQUIRE(fd.valid());
  return std::make_shared<const UniqueFd>(std::move(fd));
}

ino_t inode_of(const UniqueFd& fd) {
  struct stat status {};
  REQUIRE(::fstat(fd.get(), &status) == 0);
  return status.st_ino;
}

/// Time goes by while the gateway looks on; a jump would count as a pause of its own.
void pass(Harness& harness, int seconds) {
  constexpr milliseconds kStep{900};
  for (int i = 0; i * kStep < std::chrono::seconds(seconds); ++i) {
    harness.clock.advance(kStep);
    std::this_thread::sleep_for(milliseconds(12));
  }
}

/// All that worker `worker` has said is handled.
void settle(Harness& harness, int32_t worker, uint64_t mark) {
  harness.send(worker, ipc::Loading{mark, 1000});
  Harness::wait_for([&] {
    const auto status = harness.gateway.workers()[static_cast<size_t>(worker)];
    return status.loading && status.loading->done_bytes == mark;
  });
}

}  // namespace

TEST_CASE("the descriptor of the first worker goes to the others and outlives it") {
  Harness harness(2);
  harness.start(0);
  harness.start(1);
  harness.send(0, ipc::WantWeights{kLayout});
  CHECK(std::get<ipc::UploadWeights>(harness.next(0)).layout == kLayout);
  harness.send(1, ipc::WantWeights{kLayout});
  CHECK(harness.hears_nothing(1));
  const auto weights = memory();
  const ino_t inode = inode_of(*weights);
  harness.send(0, ipc::HaveWeights{kLayout}, weights);
  CHECK(std::get<ipc::MapWeights>(harness.next(1)).layout == kLayout);
  CHECK(inode_of(harness.descriptor(1)) == inode);

  for (const int32_t worker : {0, 1, 0}) {
    harness.end(worker, WorkerEnd::kKilled);
    harness.start(worker);
    harness.send(worker, ipc::WantWeights{kLayout});
    CHECK(std::holds_alternative<ipc::MapWeights>(harness.next(worker)));
    CHECK(inode_of(harness.descriptor(worker)) == inode);
  }
  CHECK(harness.exposes("hearth_worker_weights_uploads_total{worker=\"0\"} 1"));
  CHECK(harness.exposes("hearth_worker_weights_uploads_total{worker=\"1\"} 0"));
  CHECK(harness.exposes("hearth_worker_weights_maps_total{worker=\"0\"} 2"));
  CHECK(harness.exposes("hearth_worker_weights_maps_total{worker=\"1\"} 2"));
  CHECK(harness.exposes("hearth_shared_weights_bytes 4096"));
}

TEST_CASE("an uploader that dies is followed only when its process, and its memory, is gone") {
  Harness harness(2);
  harness.start(0);
  harness.start(1);
  harness.send(0, ipc::WantWeights{kLayout});
  (void)harness.next(0);
  harness.send(1, ipc::WantWeights{kLayout});
  settle(harness, 1, 1);
  harness.kill(0);  // its socket ends before its memory is free
  Harness::wait_for([&] { return harness.lost_count == 1; });
  CHECK(harness.hears_nothing(1));
  harness.gateway.worker_ended(0, WorkerEnd::kKilled);
  CHECK(std::holds_alternative<ipc::UploadWeights>(harness.next(1)));
}

TEST_CASE("weights without a descriptor, or unasked for, break the protocol") {
  Harness harness(2);
  harness.start(0);
  harness.send(0, ipc::WantWeights{kLayout});
  (void)harness.next(0);
  harness.send(0, ipc::HaveWeights{kLayout});
  Harness::wait_for([&] { return harness.lost_count == 1; });
  harness.start(1);
  harness.send(1, ipc::HaveWeights{kLayout}, memory());
  Harness::wait_for([&] { return harness.lost_count == 2; });
  CHECK(harness.exposes("hearth_shared_weights_bytes 0"));
}

TEST_CASE("a worker with other weights is refused") {
  Harness harness(2);
  harness.start(0);
  harness.start(1);
  harness.send(0, ipc::WantWeights{kLayout});
  (void)harness.next(0);
  WeightsLayout changed = kLayout;
  changed.model = 0;
  harness.send(1, ipc::WantWeights{changed});
  CHECK(std::get<ipc::RefuseWeights>(harness.next(1)).message.find("has changed") !=
        std::string::npos);
}

TEST_CASE("memory that a worker cannot map is uploaded again") {
  Harness harness(2);
  harness.start(0);
  harness.send(0, ipc::WantWeights{kLayout});
  (void)harness.next(0);
  harness.send(0, ipc::HaveWeights{kLayout}, memory());
  settle(harness, 0, 1);
  harness.start(1);
  harness.send(1, ipc::WantWeights{kLayout});
  const auto given = std::get<ipc::MapWeights>(harness.next(1));
  harness.send(1, ipc::RejectWeights{kLayout.device, given.version, "it is broken"});
  harness.send(1, ipc::WantWeights{kLayout});
  CHECK(std::holds_alternative<ipc::UploadWeights>(harness.next(1)));
  CHECK(harness.exposes("hearth_shared_weights_bytes 0"));
}

TEST_CASE("an upload that goes on, and the wait for it, outlast the start's deadline of 120 s") {
  Harness harness(2, 100, 1000, milliseconds(100));  // looks every 10 ms
  harness.start(0);
  harness.start(1);
  harness.send(0, ipc::WantWeights{kLayout});
  (void)harness.next(0);
  harness.send(1, ipc::WantWeights{kLayout});
  for (uint64_t done = 1; done <= 2; ++done) {
    pass(harness, 70);
    settle(harness, 0, done);
  }
  CHECK(harness.lost_count == 0);
  CHECK(harness.state(1) == WorkerState::kLoading);
  for (int i = 0; i < 10 && harness.lost_count == 0; ++i) pass(harness, 70);  // nothing moves now
  CHECK(harness.lost_count == 1);
  CHECK(harness.state(0) == WorkerState::kDown);
  harness.end(0, WorkerEnd::kKilled);
  // The one that waited is to upload now, and has the whole deadline for it.
  CHECK(std::holds_alternative<ipc::UploadWeights>(harness.next(1)));
  pass(harness, 70);
  CHECK(harness.lost_count == 1);
}
