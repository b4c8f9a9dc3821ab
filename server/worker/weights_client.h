#pragma once
// A worker's side of how weights are shared (server/gateway/weights_keeper.h has the other): asks
// the gateway over the worker's socket, and tells it how far an upload is.

#include <chrono>
#include <optional>

#include "base/clock.h"
#include "engine/backend/weights_exchange.h"
#include "server/ipc/channel.h"

namespace hearth {

/// Used before the worker's loop runs; frames that come early are left for it in the channel.
class WeightsClient final : public WeightsExchange {
 public:
  /// Both must outlive this.
  WeightsClient(ipc::Channel& channel, const Clock& clock) : channel_(channel), clock_(clock) {}

  Result<std::optional<UniqueFd>> acquire(const WeightsLayout& layout) override;
  Status publish(const WeightsLayout& layout, UniqueFd memory) override;
  Status reject(const WeightsLayout& layout, const std::string& why) override;
  Status progress(uint64_t done, uint64_t total) override;

  /// The gateway has said Shutdown or has gone: nobody waits for the load.
  [[nodiscard]] bool ended() const { return ended_; }

 private:
  /// Waits for the socket, at most so long.
  Status wait(std::chrono::milliseconds timeout);
  /// The next message about weights; nothing if more must be received first.
  Result<std::optional<ipc::Down>> next();
  Result<std::optional<UniqueFd>> map(const WeightsLayout& layout, const ipc::MapWeights& given);
  Status say(ipc::Up message, ipc::Channel::Attachment attachment = {});
  std::unexpected<Error> end(const char* why);

  ipc::Channel& channel_;
  const Clock& clock_;
  bool ended_ = false;
  uint64_t version_ = 0;  // of the memory that acquire() gave last
  std::optional<uint64_t> told_done_;
  Nanoseconds told_time_{0};
};

}  // namespace hearth
