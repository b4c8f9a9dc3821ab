#pragma once
// The GPUs that an engine was asked to use.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/model/model.h"
#include "kernels/device.h"

namespace hearth {

/// The GPUs of a machine.
struct GpuCount {
  int32_t count = 0;
  std::string why_none;  // where it is 0: "no GPU can be used: …"
};
/// Those that this process can use.
GpuCount count_gpus();

/// The numbers of the GPUs that the options want; none if no layers are wanted, or `auto` ones and
/// the machine has no GPU, which is logged. kUnsupported if layers are demanded and there is no
/// GPU; kInvalidArgument if --device names one that is not there, or --split has not a part for
/// each. Messages name the option.
Result<std::vector<int32_t>> wanted_gpus(const EngineOptions& options, const GpuCount& machine);

/// A wanted GPU cannot be used: an error if that is the end, else it is left out, which is logged.
Status leave_out_gpu(const EngineOptions& options, const Error& reason);

/// What ask(index), a Result, gives for each of the wanted GPUs that can be used.
template <typename Ask>
auto gather_gpus(const EngineOptions& options, const GpuCount& machine, const Ask& ask)
    -> Result<std::vector<typename decltype(ask(0))::value_type>> {
  HEARTH_ASSIGN_OR_RETURN(const auto indices, wanted_gpus(options, machine));
  std::vector<typename decltype(ask(0))::value_type> gpus;
  for (const int32_t index : indices) {
    auto gpu = ask(index);
    if (gpu.has_value()) {
      gpus.push_back(std::move(*gpu));
    } else {
      HEARTH_RETURN_IF_ERROR(leave_out_gpu(options, gpu.error()));
    }
  }
  return gpus;
}

/// What GPUs with this memory offer to workers that may use `budget_bytes` of each; where that is
/// empty, nine tenths of what is free. `sharers`: so many workers on one copy of the weights, or 0:
/// one worker that has its own. Nothing without GPUs.
std::optional<GpuOffer> make_offer(const std::vector<kernels::DeviceInfo>& infos,
                                   const std::vector<uint64_t>& budget_bytes, int32_t sharers,
                                   const Model& model);
/// Nine tenths of what is free for processes that have a context yet to make.
uint64_t usable_bytes(const kernels::DeviceInfo& info);

/// GPUs that were opened, and what they offer.
struct Gpus {
  std::vector<std::unique_ptr<kernels::Device>> devices;
  std::optional<GpuOffer> offer;  // none without devices

  /// For make_memory_plan().
  [[nodiscard]] const GpuOffer* offered() const { return offer ? &*offer : nullptr; }
  /// Where `plan` puts the layers. Devices that get none are closed.
  Placement place(const MemoryPlan& plan);
};

/// Opens the GPUs that the options want. Errors as wanted_gpus() and leave_out_gpu(); kUnsupported
/// if workers are to share memory of one that cannot.
Result<Gpus> open_gpus(const EngineOptions& options, const Model& model);

}  // namespace hearth
