#pragma once
// What the API layer sees of the gateway: hand in a GenerateRequest, read its events.

#include <chrono>
#include <memory>
#include <optional>

#include "base/result.h"
#include "engine/request.h"

namespace hearth {

/// One live request, read by one connection thread. Destroying it cancels what has not ended, and
/// its sequences leave the batch within one step.
class Generation {
 public:
  virtual ~Generation() = default;

  /// The next event, in order; nothing if none came within `timeout`. After a FinishEvent for
  /// every choice, or a FailEvent, there are no more.
  virtual std::optional<EngineEvent> next(std::chrono::milliseconds timeout) = 0;

  /// Ends one choice early (a stop string was found); its FinishEvent follows with kStop.
  virtual void stop_choice(int32_t choice) = 0;
};

/// Admits requests and sends them to workers. Any thread may call.
class GenerationService {
 public:
  virtual ~GenerationService() = default;

  /// `request.id` is set by the service. kResourceExhausted when the queue is full, kUnavailable
  /// while no worker serves or the daemon drains.
  virtual Result<std::unique_ptr<Generation>> submit(GenerateRequest request) = 0;
};

}  // namespace hearth
