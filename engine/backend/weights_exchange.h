#pragma once
// How several processes that serve one model come by one copy of its weights on a device: the first
// uploads and publishes them, the others map what it has published. Who is first, and who holds the
// memory when all of them are gone, is not the engine's to know (server/gateway/weights_keeper.h).

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace hearth {

/// Which weights lie where in an allocation: equal for two processes that may share it, and else,
/// but for collisions of the hashes, not.
struct WeightsLayout {
  std::string device;       // DeviceInfo::uuid
  int32_t first_layer = 0;  // of the model's, up to the last and the output
  uint64_t bytes = 0;       // of the allocation
  uint64_t model = 0;       // hash of the files' identity
  uint64_t checksum = 0;    // hash of names, types, shapes and offsets of the tensors
  friend bool operator==(const WeightsLayout&, const WeightsLayout&) = default;
};

/// One process's side. Its thread is the one that loads the model.
class WeightsExchange {
 public:
  virtual ~WeightsExchange() = default;

  /// Memory that holds these weights, or nothing: then the caller uploads and publish()es them.
  /// Waits while another process uploads them. An error if memory of the device holds others, or if
  /// there is nothing to load for any more; it ends the load.
  virtual Result<std::optional<UniqueFd>> acquire(const WeightsLayout& layout) = 0;
  /// Gives the others what acquire() had left to this process.
  virtual Status publish(const WeightsLayout& layout, UniqueFd memory) = 0;
  /// What acquire() gave cannot be mapped. It is given to nobody any more; acquire() again.
  virtual Status reject(const WeightsLayout& layout, const std::string& why) = 0;
  /// Called again and again during an upload, whoever the weights are for. An error ends the load.
  virtual Status progress(uint64_t done, uint64_t total) = 0;
};

struct WeightsSource {
  WeightsExchange* exchange = nullptr;  // null: nobody hears of progress
  bool shared = false;  // through the exchange, which there is then; else a copy of its own
};

}  // namespace hearth
