// The gateway between workers that load: weights on a GPU are uploaded by one and mapped by all.

#include <spdlog/spdlog.h>

#include <utility>

#include "server/gateway/gateway.h"

namespace hearth {

/// What a worker says while it loads, but for the end of it.
Status Gateway::handle_load(int32_t worker, const ipc::Up& message, Callbacks& callbacks) {
  if (const auto* want = std::get_if<ipc::WantWeights>(&message)) {
    want_weights(worker, want->layout);
  } else if (const auto* have = std::get_if<ipc::HaveWeights>(&message)) {
    return have_weights(worker, have->layout);
  } else if (const auto* rejected = std::get_if<ipc::RejectWeights>(&message)) {
    spdlog::error("worker {}: {}; they are uploaded again", worker, rejected->why);
    weights_.reject(rejected->device, rejected->version);
    metrics_.shared_weights_bytes().set(static_cast<double>(weights_.held_bytes()));
  } else if (const auto* loading = std::get_if<ipc::Loading>(&message)) {
    link(worker).loading = *loading;
    if (listener_.loading)
      callbacks.push_back([this, worker, told = *loading] { listener_.loading(worker, told); });
  }
  return {};
}

void Gateway::want_weights(int32_t worker, const WeightsLayout& layout) {
  link(worker).waits_for_weights = true;
  tell(weights_.want(worker, layout));
}

Status Gateway::have_weights(int32_t worker, const WeightsLayout& layout) {
  HEARTH_ASSIGN_OR_RETURN(auto answers,
                          weights_.have(worker, layout, link(worker).channel->take_descriptor()));
  spdlog::info("worker {} has brought {:.1f} MiB of weights to {}", worker,
               static_cast<double>(layout.bytes) / (1 << 20), layout.device);
  series(worker).weights_uploads.add();
  metrics_.shared_weights_bytes().set(static_cast<double>(weights_.held_bytes()));
  tell(std::move(answers));
  return {};
}

/// A worker that has gone hears nothing; its end is reported by the supervisor, and then whatever
/// it was to do goes to another one.
void Gateway::tell(WeightsKeeper::Answers answers) {
  for (WeightsKeeper::Answer& answer : answers) {
    Link& to = link(answer.worker);
    to.waits_for_weights = false;
    to.last_progress = clock_.now();
    if (!to.channel) continue;
    if (std::holds_alternative<ipc::MapWeights>(answer.message))
      series(answer.worker).weights_maps.add();
    // The only error: the worker has gone.
    (void)send(answer.worker, answer.message, std::move(answer.memory));
  }
}

}  // namespace hearth
