#pragma once
// Faults on purpose, for tests of what the daemon does about them: `hearth serve --fault SPEC`.

#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "server/worker/worker_engine.h"

namespace hearth {

enum class FaultKind {
  kAbort,  // a crash: SIGABRT by itself
  kExit,   // it gives up: exit status 1
  kKill,   // SIGKILL, as the kernel's out-of-memory killer sends it
  kHang,   // it computes no more, and does not end
};

struct Fault {
  FaultKind kind = FaultKind::kAbort;
  int32_t prompt_tokens = 0;      // of the requests that are struck
  int32_t token_index = 0;        // strikes instead of telling this token, or a later one
  std::optional<int32_t> worker;  // strikes in the first process of this worker only

  friend bool operator==(const Fault&, const Fault&) = default;
};

/// "abort@77:5", "hang@40:0/1": KIND@PROMPT:TOKEN[/WORKER]. kInvalidArgument if it is not one.
Result<Fault> parse_fault(std::string_view spec);

/// Another engine, struck by a fault. `inner` must outlive this.
class FaultyEngine final : public WorkerEngine {
 public:
  FaultyEngine(WorkerEngine& inner, const Fault& fault) : inner_(inner), fault_(fault) {}

  Status submit(GenerateRequest request) override;
  void cancel(RequestId id) override { inner_.cancel(id); }
  void stop_choice(RequestId id, int32_t choice) override { inner_.stop_choice(id, choice); }
  [[nodiscard]] bool has_work() const override { return inner_.has_work(); }
  void step() override { inner_.step(); }
  /// Does not return if the fault strikes.
  std::vector<EngineEvent> poll() override;
  std::vector<QueueTime> take_queue_times() override { return inner_.take_queue_times(); }
  void on_progress(std::function<void()> call) override { inner_.on_progress(std::move(call)); }
  [[nodiscard]] EngineStats stats() const override { return inner_.stats(); }

 private:
  WorkerEngine& inner_;
  const Fault fault_;
  std::unordered_set<RequestId> struck_;
};

}  // namespace hearth
