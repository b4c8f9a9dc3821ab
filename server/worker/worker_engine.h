#pragma once
// What the worker's loop needs of an engine: the verbs of engine/engine.h, one to one. Here so that
// tests can run the loop against an engine without a model.

#include <functional>
#include <vector>

#include "base/result.h"
#include "engine/request.h"

namespace hearth {

class WorkerEngine {
 public:
  virtual ~WorkerEngine() = default;

  virtual Status submit(GenerateRequest request) = 0;
  virtual void cancel(RequestId id) = 0;
  virtual void stop_choice(RequestId id, int32_t choice) = 0;
  [[nodiscard]] virtual bool has_work() const = 0;
  virtual void step() = 0;
  virtual std::vector<EngineEvent> poll() = 0;
  virtual std::vector<QueueTime> take_queue_times() = 0;
  virtual void on_progress(std::function<void()> call) = 0;
  [[nodiscard]] virtual EngineStats stats() const = 0;
};

}  // namespace hearth
