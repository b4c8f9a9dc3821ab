#pragma once
// The protocol between the gateway and one worker, whole. A frame is u32 length | u8 type | fields
// (codec.h); the length counts what follows it. Down: what the gateway says. Up: what the worker
// says: while it loads WantWeights, Loading, HaveWeights, then Ready or LoadFailed, then Events
// after every step, and Stats.
//
// A request lives from Submit until its last FinishEvent, its FailEvent, or Cancel. What replay on
// another worker needs is in GenerateRequest (prompt, sampling, delivered) and nowhere else.

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "engine/backend/weights_exchange.h"
#include "engine/request.h"

namespace hearth::ipc {

/// The longest frame: a prompt of eight million tokens and what was delivered for it. A longer
/// length is a broken peer.
constexpr uint32_t kMaxFrameBytes = 64U << 20;

// Down.

struct Submit {
  GenerateRequest request;
  friend bool operator==(const Submit&, const Submit&) = default;
};
/// Ends a request; no event of it need follow.
struct Cancel {
  RequestId request = 0;
  friend bool operator==(const Cancel&, const Cancel&) = default;
};
/// Ends one choice; its FinishEvent follows.
struct StopChoice {
  RequestId request = 0;
  int32_t choice = 0;
  friend bool operator==(const StopChoice&, const StopChoice&) = default;
};
/// What the worker logs from now on.
struct SetLogLevel {
  std::string level;  // as in --log-level
  friend bool operator==(const SetLogLevel&, const SetLogLevel&) = default;
};
/// Ends the worker with status 0 at once. To drain, the gateway stops submitting and waits first.
struct Shutdown {
  friend bool operator==(const Shutdown&, const Shutdown&) = default;
};

/// Answers WantWeights: nobody has them; upload them and say HaveWeights.
struct UploadWeights {
  WeightsLayout layout;
  friend bool operator==(const UploadWeights&, const UploadWeights&) = default;
};
/// Answers WantWeights: here they are. Carries the descriptor of the memory.
struct MapWeights {
  WeightsLayout layout;
  uint64_t version = 0;  // of what is held, counted by the gateway
  friend bool operator==(const MapWeights&, const MapWeights&) = default;
};
/// Answers WantWeights: the memory of that device holds others.
struct RefuseWeights {
  std::string message;  // one line
  friend bool operator==(const RefuseWeights&, const RefuseWeights&) = default;
};

using Down = std::variant<Submit, Cancel, StopChoice, Shutdown, SetLogLevel, UploadWeights,
                          MapWeights, RefuseWeights>;

// Up.

/// The model is mapped and memory is planned (engine/memory_plan.h has the plan itself).
struct Ready {
  int32_t pid = 0;
  int32_t context_tokens = 0;  // most tokens of one sequence
  int32_t vocab_size = 0;
  int32_t page_tokens = 0;
  int64_t kv_pages = 0;
  std::string kv_type;    // "f16"
  std::string plan_line;  // MemoryPlan::describe(), for the log
  friend bool operator==(const Ready&, const Ready&) = default;
};
/// The model cannot be served; the worker ends with status 1.
struct LoadFailed {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;  // one line
  friend bool operator==(const LoadFailed&, const LoadFailed&) = default;
};
/// What one step produced, in order; the figures are for metrics. May hold no event at all.
struct Events {
  std::vector<EngineEvent> events;
  std::vector<QueueTime> queue_times;
  uint32_t step_tokens = 0;  // rows of the step
  friend bool operator==(const Events&, const Events&) = default;
};
/// At least once a second while the worker makes progress, and when the load changes.
struct Stats {
  EngineStats engine;
  uint64_t resident_bytes = 0;  // with the shared pages of the model
  uint64_t private_bytes = 0;   // anonymous memory, swapped or not
  friend bool operator==(const Stats&, const Stats&) = default;
};

/// In the middle of a long step: it goes on.
struct Alive {
  friend bool operator==(const Alive&, const Alive&) = default;
};

/// While it loads: asks for the weights of a device. Answered with one of three messages, which may
/// take as long as another worker's upload.
struct WantWeights {
  WeightsLayout layout;
  friend bool operator==(const WantWeights&, const WantWeights&) = default;
};
/// After UploadWeights: done. Carries the descriptor of the memory.
struct HaveWeights {
  WeightsLayout layout;
  friend bool operator==(const HaveWeights&, const HaveWeights&) = default;
};
/// After MapWeights: that memory cannot be mapped. WantWeights may follow.
struct RejectWeights {
  std::string device;
  uint64_t version = 0;
  std::string why;  // one line
  friend bool operator==(const RejectWeights&, const RejectWeights&) = default;
};
/// How far an upload is; sent when it has got further.
struct Loading {
  uint64_t done_bytes = 0;
  uint64_t total_bytes = 0;
  friend bool operator==(const Loading&, const Loading&) = default;
};

using Up = std::variant<Ready, LoadFailed, Events, Stats, Alive, WantWeights, HaveWeights,
                        RejectWeights, Loading>;

/// Appends the frame of `message` to `out`. kTooLarge if it were longer than kMaxFrameBytes; `out`
/// is then as before.
Status append_frame(std::string& out, const Down& message);
Status append_frame(std::string& out, const Up& message);

/// `frame`: type and fields, without the length. kMalformed if it is not exactly one message.
Result<Down> decode_down(std::string_view frame);
Result<Up> decode_up(std::string_view frame);

}  // namespace hearth::ipc
