#pragma once
// Who brings the weights to each GPU, and the memory they are in. The first worker that asks
// uploads them; the gateway keeps the memory's descriptor and hands it to all others, now and after
// restarts, so that weights outlive any worker. Bookkeeping alone: no sockets, no CUDA.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "server/ipc/channel.h"
#include "server/ipc/messages.h"

namespace hearth {

class WeightsKeeper {
 public:
  /// What a worker is to be told, with the descriptor that goes with it.
  struct Answer {
    int32_t worker = 0;
    ipc::Down message;
    ipc::Channel::Attachment memory;
  };
  using Answers = std::vector<Answer>;

  /// A worker asks. No answer yet while another one uploads. A layout that is not that of the
  /// memory held or being filled is refused: two versions of a model must not answer side by side,
  /// and would not fit side by side.
  Answers want(int32_t worker, const WeightsLayout& layout);
  /// A worker has uploaded what it was told to. kMalformed if it was not, or brings no memory.
  Result<Answers> have(int32_t worker, const WeightsLayout& layout, UniqueFd memory);
  /// A worker cannot map version `version`. It is given to nobody any more.
  void reject(const std::string& device, uint64_t version);
  /// The process of a worker has ended, and what it had allocated is free. If it was uploading,
  /// another one that waits takes over.
  Answers forget(int32_t worker);

  /// Of all memory held.
  [[nodiscard]] uint64_t held_bytes() const;

 private:
  static constexpr int32_t kNobody = -1;
  /// The memory of one GPU. It has a memory, or an uploader, or is not there.
  struct Entry {
    WeightsLayout layout;
    int32_t uploader = kNobody;
    ipc::Channel::Attachment memory;
    uint64_t version = 0;
    std::deque<int32_t> waiting;
  };
  static Answer map_answer(int32_t worker, const Entry& entry);

  std::map<std::string, Entry> by_device_;
  uint64_t versions_ = 0;
};

}  // namespace hearth
