#include "engine/backend/gpu.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "kernels/cuda/cuda_device.h"

namespace hearth {
namespace {

/// Why a demand for layers on a GPU cannot be met.
Error no_gpu_error(const GpuLayers& layers, const std::string& reason) {
  return {ErrorCode::kUnsupported,
          fmt::format("--gpu-layers {} needs a GPU, and {}; say auto or 0", layers.text(), reason),
          "--gpu-layers"};
}

}  // namespace

GpuCount count_gpus() {
  const int count = kernels::cuda_device_count();
  if (count > 0) return {.count = count, .why_none = {}};
  return {.count = 0, .why_none = "no GPU can be used: " + kernels::why_no_cuda_device()};
}

Result<std::vector<int32_t>> wanted_gpus(const EngineOptions& options, const GpuCount& machine) {
  const GpuLayers& layers = options.gpu_layers;
  std::vector<int32_t> indices;
  if (layers == GpuLayers{GpuLayers::Kind::kCount, 0}) return indices;
  if (machine.count == 0) {
    if (layers.demanded()) return std::unexpected(no_gpu_error(layers, machine.why_none));
    spdlog::info("all layers on the CPU: {}", machine.why_none);
    return indices;
  }
  indices = options.devices.indices;
  if (options.devices.all) {
    indices.resize(static_cast<size_t>(machine.count));
    std::iota(indices.begin(), indices.end(), 0);
  }
  for (const int32_t index : indices) {
    if (index >= machine.count)
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("--device {}: GPU {} is not there: this machine has {}, counted from "
                              "0",
                              options.devices.text(), index, machine.count),
                  "--device");
  }
  const size_t parts = options.split.parts.size();
  if (parts > 0 && parts != indices.size())
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("--split {} has {} parts, expected one for each of the {} GPUs of "
                            "--device {}",
                            options.split.text(), parts, indices.size(), options.devices.text()),
                "--split");
  return indices;
}

Status leave_out_gpu(const EngineOptions& options, const Error& reason) {
  // With a part for each, the parts of the others would mean something else.
  if (options.gpu_layers.demanded() || !options.split.parts.empty())
    return std::unexpected(no_gpu_error(options.gpu_layers, reason.message));
  spdlog::info("{}; it gets no layers", reason.message);
  return {};
}

uint64_t usable_bytes(const kernels::DeviceInfo& info) {
  return (info.free_bytes + info.context_bytes) / 10 * 9;
}

std::optional<GpuOffer> make_offer(const std::vector<kernels::DeviceInfo>& infos,
                                   const std::vector<uint64_t>& budget_bytes, int32_t sharers,
                                   const Model& model) {
  if (infos.empty()) return std::nullopt;
  HEARTH_CHECK(budget_bytes.empty() || budget_bytes.size() == infos.size(),
               "there is a budget for each GPU");
  GpuOffer offer{.devices = {}, .workers = std::max(sharers, 1), .weights = weight_sizes(model)};
  for (size_t i = 0; i < infos.size(); ++i)
    offer.devices.push_back(
        {.name = infos[i].name,
         .index = infos[i].index,
         .total_bytes = infos[i].total_bytes,
         .budget_bytes = budget_bytes.empty() ? usable_bytes(infos[i]) : budget_bytes[i],
         .context_bytes = infos[i].context_bytes});
  return offer;
}

Result<Gpus> open_gpus(const EngineOptions& options, const Model& model) {
  const GpuCount machine =
      options.open_gpu ? GpuCount{.count = options.gpu_count, .why_none = {}} : count_gpus();
  Gpus gpus;
  HEARTH_ASSIGN_OR_RETURN(gpus.devices, gather_gpus(options, machine, [&](int32_t index) {
                            return options.open_gpu ? options.open_gpu(index)
                                                    : kernels::open_cuda_device(index);
                          }));
  std::vector<kernels::DeviceInfo> infos;
  for (const auto& device : gpus.devices) {
    const kernels::DeviceInfo& info = device->info();
    // The plan counts one copy for all.
    if (options.gpu_sharers > 0 && !info.why_not_shared.empty())
      return fail(ErrorCode::kUnsupported, fmt::format("{} lets processes share no memory: {}",
                                                       info.name, info.why_not_shared));
    infos.push_back(info);
  }
  gpus.offer = make_offer(infos, options.gpu_budget_bytes, options.gpu_sharers, model);
  return gpus;
}

Placement Gpus::place(const MemoryPlan& plan) {
  std::erase_if(devices, [&plan](const auto& device) {
    return std::ranges::find(plan.devices, device->info().index, &DevicePlan::index) ==
           plan.devices.end();
  });
  HEARTH_CHECK(devices.size() == plan.devices.size(), "the plan's GPUs are those that were opened");
  Placement placement{.devices = {}, .kv_on_host = plan.kv_on_host};
  for (size_t i = 0; i < devices.size(); ++i)
    placement.devices.push_back({devices[i].get(), plan.devices[i].layers});
  return placement;
}

}  // namespace hearth
