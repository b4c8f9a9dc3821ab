// Copies between GPUs on a CUDA runtime that the test plays: streams are queues, and what may run
// next runs in any order. Whatever the order, what was sent arrives, and nothing is overwritten
// that is still read.

#include "kernels/cuda/runtime/cuda_link.h"

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <vector>

#include "base/check.h"

namespace {

/// Work of a stream: runs when `ready`.
struct Work {
  std::function<bool()> ready;
  std::function<void()> run;
};
using Stream = std::deque<Work>;

struct Event {
  int recorded = 0;
  int passed = 0;
};

struct FakeRuntime {
  int current = 0;
  int events = 0;
  int pinned = 0;
  bool peers = true;
  bool peer_copies_arrive = true;
  int direct = 0;  // copies
  std::vector<Stream*> streams;
  std::mt19937 random{1};

  /// Runs one piece of work that may run, of any stream; false if there is none.
  bool run_one() {
    std::vector<Stream*> runnable;
    for (Stream* stream : streams)
      if (!stream->empty() && stream->front().ready()) runnable.push_back(stream);
    if (runnable.empty()) return false;
    Stream& chosen = *runnable[random() % runnable.size()];
    const auto run = std::move(chosen.front().run);
    chosen.pop_front();
    run();
    return true;
  }
};
FakeRuntime runtime;

const auto always = [] { return true; };

void put(cudaStream_t stream, std::function<void()> run) {
  reinterpret_cast<Stream*>(stream)->push_back({always, std::move(run)});
}

}  // namespace

// The runtime's functions, as far as a link calls them.
extern "C" {
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t) { return "an error of the test"; }
cudaError_t cudaGetDevice(int* device) {
  *device = runtime.current;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  runtime.current = device;
  return cudaSuccess;
}
cudaError_t cudaDeviceCanAccessPeer(int* can, int from, int to) {
  CHECK(from != to);
  *can = runtime.peers ? 1 : 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceEnablePeerAccess(int to, unsigned int) {
  CHECK(to != runtime.current);
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int) {
  *event = reinterpret_cast<cudaEvent_t>(new Event);
  ++runtime.events;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  while (runtime.run_one()) {  // the driver keeps what is still needed
  }
  delete reinterpret_cast<Event*>(event);
  --runtime.events;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream) {
  auto* event = reinterpret_cast<Event*>(handle);
  ++event->recorded;
  put(stream, [event] { ++event->passed; });
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t handle, unsigned int) {
  auto* event = reinterpret_cast<Event*>(handle);
  const int wanted = event->recorded;  // the record that was made last, or none
  reinterpret_cast<Stream*>(stream)->push_back(
      {[event, wanted] { return event->passed >= wanted; }, [] {}});
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  put(stream, [=] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}
cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t bytes,
                                cudaStream_t stream) {
  ++runtime.direct;
  put(stream, [=] {
    if (runtime.peer_copies_arrive) std::memcpy(to, from, bytes);
  });
  return cudaSuccess;
}
}

namespace hearth::kernels {

void simt::check_cuda(int error, const char* call) { HEARTH_CHECK(error == cudaSuccess, call); }

namespace {

/// Of one stream, with copies alone.
class FakeDevice final : public Device {
 public:
  explicit FakeDevice(int32_t index) {
    info_.index = index;
    op_.stream = &stream_;
    runtime.streams.push_back(&stream_);
  }
  ~FakeDevice() override { std::erase(runtime.streams, &stream_); }

  const DeviceInfo& info() const override { return info_; }
  const KernelTable& table() const override { return table_; }
  ExecContext context() override {
    runtime.current = info_.index;
    return {.stream = &op_};
  }
  Result<DeviceMemory> allocate(size_t bytes, const char*) override {
    return DeviceMemory(*this, ::operator new(bytes), bytes);
  }
  void upload(void* to, const void* from, size_t bytes) override {
    enqueue_upload(to, from, bytes);
    wait();
  }
  void download(void* to, const void* from, size_t bytes) override {
    enqueue_download(to, from, bytes);
    wait();
  }
  void copy(void* to, const void* from, size_t bytes) override { enqueue_upload(to, from, bytes); }
  Status upload_all(std::span<const UploadPiece>, const UploadProgress&) override { return {}; }
  Result<SharedMemory> allocate_shared(size_t, const char*) override { return none(); }
  Result<DeviceMemory> map_shared(const UniqueFd&, size_t) override { return none(); }
  void protect_shared(const DeviceMemory&) override {}
  Result<std::unique_ptr<DeviceLink>> link_from(Device& source, size_t bytes) override {
    return make_cuda_link(source, *this, bytes);
  }
  Status reserve(size_t, int64_t, int64_t, int64_t) override { return {}; }
  Result<std::string> use_gemm_library() override { return none(); }
  StepPointers begin_step(const StepInput&) override { return {}; }
  Result<PinnedMemory> allocate_pinned(size_t bytes, const char*) override {
    ++runtime.pinned;
    return PinnedMemory(*this, ::operator new(bytes), bytes);
  }
  void enqueue_upload(void* to, const void* from, size_t bytes) override {
    stream_.push_back({always, [=] { std::memcpy(to, from, bytes); }});
  }
  void enqueue_download(void* to, const void* from, size_t bytes) override {
    enqueue_upload(to, from, bytes);
  }
  void wait_for_uploads() override { wait(); }
  void wait() override {
    while (!stream_.empty()) HEARTH_CHECK(runtime.run_one(), "work that waits for ever");
  }
  void run_recorded(int64_t, const std::function<void()>& ops) override { ops(); }

  /// An op: *to += *from + 1, when the stream comes to it.
  void add(int* to, const int* from) {
    stream_.push_back({always, [=] { *to += *from + 1; }});
  }

 private:
  static std::unexpected<Error> none() { return fail(ErrorCode::kUnsupported, "a fake"); }
  void release(void* data, size_t) override { ::operator delete(data); }
  void release_pinned(void* data) override {
    --runtime.pinned;
    ::operator delete(data);
  }

  DeviceInfo info_;
  KernelTable table_;
  simt::OpContext op_;
  Stream stream_;
};

/// Steps over three devices, the host far ahead of them: each adds one to the stream, which goes on
/// to the next.
void check_steps(const std::string& way) {
  FakeDevice a(0);
  FakeDevice b(1);
  FakeDevice c(2);
  auto ab = b.link_from(a, sizeof(int));
  auto bc = c.link_from(b, sizeof(int));
  REQUIRE(ab.has_value());
  REQUIRE(bc.has_value());
  CHECK((*ab)->way() == way);
  CHECK(runtime.current == 0);  // as it was
  constexpr int kSteps = 12;
  std::array<int, kSteps> results{};
  std::array<int, kSteps> inputs{};
  int in_a = 0;
  int in_b = 0;
  int in_c = 0;
  const int zero = 0;
  for (int step = 0; step < kSteps; ++step) {
    inputs[static_cast<size_t>(step)] = 100 * step;
    a.enqueue_upload(&in_a, &inputs[static_cast<size_t>(step)], sizeof(int));
    a.add(&in_a, &zero);
    (*ab)->send(&in_b, &in_a, sizeof(int));
    b.add(&in_b, &zero);
    (*bc)->send(&in_c, &in_b, sizeof(int));
    c.add(&in_c, &zero);
    c.enqueue_download(&results[static_cast<size_t>(step)], &in_c, sizeof(int));
  }
  c.wait();
  for (int step = 0; step < kSteps; ++step)
    CHECK(results[static_cast<size_t>(step)] == 100 * step + 3);
  ab->reset();
  bc->reset();
  CHECK(runtime.events == 0);
  CHECK(runtime.pinned == 0);
}

}  // namespace

TEST_CASE("copies between GPUs: directly, in any order that the streams allow") {
  for (unsigned seed = 0; seed < 300; ++seed) {
    runtime = {};
    runtime.random.seed(seed);
    check_steps("directly");
    CHECK(runtime.direct == 2 + 24);
  }
}

TEST_CASE("copies between GPUs: through host memory, in any order that the streams allow") {
  for (unsigned seed = 0; seed < 300; ++seed) {
    runtime = {};
    runtime.random.seed(seed);
    runtime.peers = false;
    check_steps("through host memory: these GPUs cannot copy to each other");
    CHECK(runtime.direct == 0);
  }
}

TEST_CASE("copies between GPUs that end without an error and without the bytes are seen at start") {
  runtime = {};
  runtime.peer_copies_arrive = false;
  check_steps("through host memory: a copy from one to the other did not arrive as it was sent");
  CHECK(runtime.direct == 2);
}

}  // namespace hearth::kernels
