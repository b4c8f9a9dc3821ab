#include "server/gateway/weights_keeper.h"

#include <spdlog/fmt/fmt.h>

#include <utility>

namespace hearth {
namespace {

std::string why_refused(const WeightsLayout& wanted, const WeightsLayout& held) {
  if (wanted.model != held.model)
    return "the model file has changed since it was loaded; restart the server to serve the new "
           "one";
  return fmt::format(
      "the GPU's weights are layers {} and up in {} bytes (layout {:016x}); this worker wants "
      "layers "
      "{} and up in {} bytes (layout {:016x})",
      held.first_layer, held.bytes, held.checksum, wanted.first_layer, wanted.bytes,
      wanted.checksum);
}

}  // namespace

WeightsKeeper::Answer WeightsKeeper::map_answer(int32_t worker, const Entry& entry) {
  return {worker, ipc::MapWeights{entry.layout, entry.version}, entry.memory};
}

WeightsKeeper::Answers WeightsKeeper::want(int32_t worker, const WeightsLayout& layout) {
  const auto [place, is_new] = by_device_.try_emplace(layout.device);
  Entry& entry = place->second;
  if (is_new) {
    entry.layout = layout;
    entry.uploader = worker;
    return {{worker, ipc::UploadWeights{layout}, {}}};
  }
  if (layout != entry.layout)
    return {{worker, ipc::RefuseWeights{why_refused(layout, entry.layout)}, {}}};
  if (entry.uploader == worker)
    return {{worker, ipc::RefuseWeights{"this worker was told to upload them"}, {}}};
  if (entry.memory) return {map_answer(worker, entry)};
  entry.waiting.push_back(worker);
  return {};
}

Result<WeightsKeeper::Answers> WeightsKeeper::have(int32_t worker, const WeightsLayout& layout,
                                                   UniqueFd memory) {
  const auto place = by_device_.find(layout.device);
  if (place == by_device_.end() || place->second.uploader != worker ||
      place->second.layout != layout)
    return fail(ErrorCode::kMalformed, "it has uploaded weights that it was not told to");
  if (!memory.valid())
    return fail(ErrorCode::kMalformed, "its weights come without a file descriptor");
  Entry& entry = place->second;
  entry.uploader = kNobody;
  entry.memory = std::make_shared<const UniqueFd>(std::move(memory));
  entry.version = ++versions_;
  Answers answers;
  for (const int32_t waiting : std::exchange(entry.waiting, {}))
    answers.push_back(map_answer(waiting, entry));
  return answers;
}

void WeightsKeeper::reject(const std::string& device, uint64_t version) {
  const auto place = by_device_.find(device);
  // Another worker may have rejected it first, and new memory may be there.
  if (place == by_device_.end() || !place->second.memory || place->second.version != version)
    return;
  by_device_.erase(place);
}

WeightsKeeper::Answers WeightsKeeper::forget(int32_t worker) {
  Answers answers;
  for (auto place = by_device_.begin(); place != by_device_.end();) {
    const auto next = std::next(place);
    Entry& entry = place->second;
    std::erase(entry.waiting, worker);
    if (entry.uploader == worker) {
      if (entry.waiting.empty()) {
        by_device_.erase(place);
      } else {
        entry.uploader = entry.waiting.front();
        entry.waiting.pop_front();
        answers.push_back({entry.uploader, ipc::UploadWeights{entry.layout}, {}});
      }
    }
    place = next;
  }
  return answers;
}

uint64_t WeightsKeeper::held_bytes() const {
  uint64_t sum = 0;
  for (const auto& [device, entry] : by_device_)
    if (entry.memory) sum += entry.layout.bytes;
  return sum;
}

}  // namespace hearth
