#include "server/worker/weights_client.h"

#include <poll.h>

#include <utility>

#include "server/worker/worker_loop.h"

namespace hearth {
namespace {

/// Between two messages about the same upload.
constexpr std::chrono::milliseconds kLoadingInterval{200};

/// The next look at a socket that nothing comes from; whatever comes ends the wait at once.
constexpr std::chrono::milliseconds kLongWait{60'000};

std::unexpected<Error> broken(const std::string& what) {
  return fail(ErrorCode::kMalformed, "broken message from the gateway: " + what);
}

}  // namespace

Result<std::optional<UniqueFd>> WeightsClient::acquire(const WeightsLayout& layout) {
  HEARTH_RETURN_IF_ERROR(say(ipc::WantWeights{layout}));
  while (true) {
    HEARTH_ASSIGN_OR_RETURN(const auto message, next());
    if (!message) {
      HEARTH_RETURN_IF_ERROR(wait(kLongWait));
      continue;
    }
    if (const auto* upload = std::get_if<ipc::UploadWeights>(&*message)) {
      if (upload->layout != layout) return broken("other weights are to be uploaded");
      return std::nullopt;
    }
    if (const auto* refuse = std::get_if<ipc::RefuseWeights>(&*message))
      return fail(ErrorCode::kUnavailable, refuse->message);
    if (const auto* given = std::get_if<ipc::MapWeights>(&*message)) return map(layout, *given);
    return broken("no answer to a question for weights");
  }
}

Result<std::optional<UniqueFd>> WeightsClient::map(const WeightsLayout& layout,
                                                   const ipc::MapWeights& given) {
  UniqueFd memory = channel_.take_descriptor();
  if (given.layout != layout) return broken("other weights are to be mapped");
  if (!memory.valid()) return broken("weights without a file descriptor");
  version_ = given.version;
  return memory;
}

Status WeightsClient::publish(const WeightsLayout& layout, UniqueFd memory) {
  return say(ipc::HaveWeights{layout}, std::make_shared<const UniqueFd>(std::move(memory)));
}

Status WeightsClient::reject(const WeightsLayout& layout, const std::string& why) {
  return say(ipc::RejectWeights{layout.device, version_, why});
}

Status WeightsClient::progress(uint64_t done, uint64_t total) {
  const auto now = clock_.now();
  const bool complete = done == total;
  if (told_done_ != done && (complete || !told_done_ || now - told_time_ >= kLoadingInterval)) {
    told_done_ = done;
    told_time_ = now;
    HEARTH_RETURN_IF_ERROR(say(ipc::Loading{done, total}));
  }
  HEARTH_RETURN_IF_ERROR(wait(std::chrono::milliseconds(0)));
  HEARTH_ASSIGN_OR_RETURN(const auto message, next());
  if (message) return broken("an answer without a question");
  return {};
}

Status WeightsClient::wait(std::chrono::milliseconds timeout) {
  pollfd item{.fd = channel_.fd(), .events = POLLIN, .revents = 0};
  if (channel_.unsent_bytes() > 0) item.events |= POLLOUT;
  if (::poll(&item, 1, static_cast<int>(timeout.count())) <= 0) return {};
  if ((item.revents & POLLOUT) != 0 && !channel_.flush().has_value())
    return end("the gateway has gone");
  if ((item.revents & ~POLLOUT) != 0 && channel_.receive() == ipc::Channel::Receive::kClosed)
    return end("the gateway has gone");
  return {};
}

Result<std::optional<ipc::Down>> WeightsClient::next() {
  while (true) {
    HEARTH_ASSIGN_OR_RETURN(const auto frame, channel_.next_frame());
    if (!frame) return std::nullopt;
    HEARTH_ASSIGN_OR_RETURN(auto message, ipc::decode_down(*frame));
    if (std::holds_alternative<ipc::Shutdown>(message)) return end("the gateway ends");
    const auto* level = std::get_if<ipc::SetLogLevel>(&message);
    if (level == nullptr) return std::optional(std::move(message));
    HEARTH_RETURN_IF_ERROR(WorkerLoop::take_log_level(*level));
  }
}

Status WeightsClient::say(ipc::Up message, ipc::Channel::Attachment attachment) {
  // The only error of sending is a gateway that has gone: messages are far below the limit.
  if (!channel_.send(message, std::move(attachment)).has_value())
    return end("the gateway has gone");
  return {};
}

std::unexpected<Error> WeightsClient::end(const char* why) {
  ended_ = true;
  return fail(ErrorCode::kUnavailable, why);
}

}  // namespace hearth
