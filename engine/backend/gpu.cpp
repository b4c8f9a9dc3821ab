#include "engine/backend/gpu.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "kernels/cuda/cuda_device.h"

namespace hearth {

GpuOffer make_offer(const kernels::DeviceInfo& info, uint64_t budget_bytes, int32_t sharers,
                    const Model& model) {
  return {.name = info.name,
          .total_bytes = info.total_bytes,
          .budget_bytes = budget_bytes > 0 ? budget_bytes : info.free_bytes / 10 * 9,
          .workers = std::max(sharers, 1),
          .weights = weight_sizes(model)};
}

Error no_gpu_error(const GpuLayers& layers, const std::string& reason) {
  return {ErrorCode::kUnsupported,
          fmt::format("--gpu-layers {} needs a GPU, and {}; say auto or 0", layers.text(), reason),
          "--gpu-layers"};
}

Result<std::optional<Gpu>> open_gpu(const EngineOptions& options, const Model& model) {
  const GpuLayers& layers = options.gpu_layers;
  if (layers == GpuLayers{GpuLayers::Kind::kCount, 0}) return std::nullopt;
  auto device = options.open_gpu ? options.open_gpu() : kernels::open_cuda_device(0);
  if (!device.has_value()) {
    if (layers.demanded()) return std::unexpected(no_gpu_error(layers, device.error().message));
    spdlog::info("all layers on the CPU: {}", device.error().message);
    return std::nullopt;
  }
  const kernels::DeviceInfo& info = (*device)->info();
  // The plan counts one copy for all.
  if (options.gpu_sharers > 0 && !info.why_not_shared.empty())
    return fail(ErrorCode::kUnsupported, fmt::format("{} lets processes share no memory: {}",
                                                     info.name, info.why_not_shared));
  GpuOffer offer = make_offer(info, options.gpu_budget_bytes, options.gpu_sharers, model);
  return Gpu{std::move(*device), std::move(offer)};
}

Placement placement_of(const MemoryPlan& plan, kernels::Device* device) {
  if (!plan.device) return {};
  return {.device = device, .first_device_layer = plan.device->num_layers - plan.device->layers};
}

}  // namespace hearth
