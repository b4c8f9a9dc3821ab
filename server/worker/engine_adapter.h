#pragma once

#include <functional>
#include <utility>

#include "engine/engine.h"
#include "server/worker/worker_engine.h"

namespace hearth {

/// The real engine behind the loop. `engine` must outlive this.
class EngineAdapter final : public WorkerEngine {
 public:
  explicit EngineAdapter(Engine& engine) : engine_(engine) {}

  Status submit(GenerateRequest request) override { return engine_.submit(std::move(request)); }
  void cancel(RequestId id) override { engine_.cancel(id); }
  void stop_choice(RequestId id, int32_t choice) override { engine_.stop_choice(id, choice); }
  [[nodiscard]] bool has_work() const override { return engine_.has_work(); }
  void step() override { engine_.step(); }
  std::vector<EngineEvent> poll() override { return engine_.poll(); }
  std::vector<QueueTime> take_queue_times() override { return engine_.take_queue_times(); }
  void on_progress(std::function<void()> call) override { engine_.on_progress(std::move(call)); }
  [[nodiscard]] EngineStats stats() const override { return engine_.stats(); }

 private:
  Engine& engine_;
};

}  // namespace hearth
