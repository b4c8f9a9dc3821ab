#include "engine/memory_plan.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <limits>

#include "base/checked_math.h"
#include "engine/engine.h"
#include "engine/kv_cache/kv_cache.h"

namespace hearth {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;
constexpr int64_t kMaxPages = INT32_MAX / kPageTokens;

double mib(uint64_t bytes) { return static_cast<double>(bytes) / kMiB; }

uint64_t saturating_add(uint64_t a, uint64_t b) {
  return checked_add(a, b).value_or(std::numeric_limits<uint64_t>::max());
}

/// What an open-ended plan gives to KV pages: three quarters of the budget, less activations.
uint64_t open_kv_budget(const MemoryPlan& plan) {
  const uint64_t budget = plan.own_budget() / 4 * 3;
  return budget - std::min(budget, plan.activation_bytes);
}

/// The same of a GPU: nine tenths of what weights and activations leave.
uint64_t open_kv_budget(const DevicePlan& device) {
  return device.left_to_each(device.activation_bytes) / 10 * 9;
}

/// Pages that an open-ended plan can have, on the CPU and on the GPU. `layer_bytes`: of a page.
int64_t open_pages(const MemoryPlan& plan, uint64_t layer_bytes, int32_t num_layers) {
  const int32_t on_device = plan.device ? plan.device->layers : 0;
  auto pages = static_cast<uint64_t>(kMaxPages);
  if (on_device < num_layers)
    pages = std::min(pages, open_kv_budget(plan) /
                                (layer_bytes * static_cast<uint64_t>(num_layers - on_device)));
  if (on_device > 0)
    pages = std::min(
        pages, open_kv_budget(*plan.device) / (layer_bytes * static_cast<uint64_t>(on_device)));
  return static_cast<int64_t>(pages);
}

uint64_t saturating_mul(int64_t pages, uint64_t bytes) {
  return checked_mul(static_cast<uint64_t>(pages), bytes)
      .value_or(std::numeric_limits<uint64_t>::max());
}

DevicePlan plan_device(const GpuOffer& gpu, const ModelConfig& config, const MemoryPlan& plan,
                       int32_t layers) {
  return {.name = gpu.name,
          .layers = layers,
          .num_layers = config.num_layers,
          .workers = gpu.workers,
          .weights_bytes = gpu.weights.from_layer(config.num_layers - layers),
          .activation_bytes = saturating_add(
              plan.activation_bytes, ForwardPass::device_scratch_bytes(config, plan.limits)),
          .budget_bytes = gpu.budget_bytes,
          .total_bytes = gpu.total_bytes};
}

}  // namespace

uint64_t DevicePlan::bytes() const {
  return saturating_add(weights_bytes,
                        saturating_mul(workers, saturating_add(kv_bytes, activation_bytes)));
}

uint64_t DevicePlan::left_to_each(uint64_t taken) const {
  const uint64_t rest = budget_bytes - std::min(budget_bytes, weights_bytes);
  const uint64_t each = rest / static_cast<uint64_t>(workers);
  return each - std::min(each, taken);
}

uint64_t MemoryPlan::own_budget() const {
  return available_bytes - std::min(weights_bytes, available_bytes / 2);
}

bool MemoryPlan::fits() const {
  if (device && !device->fits()) return false;
  return context_tokens > 0 && saturating_add(kv_bytes, activation_bytes) <= own_budget();
}

int32_t MemoryPlan::largest_context() const {
  const uint64_t left = own_budget() - std::min(own_budget(), activation_bytes);
  const int32_t num_layers = device ? device->num_layers : 1;
  const int32_t on_device = device ? device->layers : 0;
  const uint64_t layer_bytes = page_bytes / static_cast<uint64_t>(num_layers);
  uint64_t pages = std::numeric_limits<uint64_t>::max();
  if (on_device < num_layers)
    pages = left / (layer_bytes * static_cast<uint64_t>(num_layers - on_device));
  if (on_device > 0) {
    pages = std::min(pages, device->left_to_each(device->activation_bytes) /
                                (layer_bytes * static_cast<uint64_t>(on_device)));
  }
  pages /= static_cast<uint64_t>(parallel);
  return static_cast<int32_t>(std::min<uint64_t>(pages, kMaxPages) * kPageTokens);
}

Error MemoryPlan::shortfall() const {
  if (device && !device->fits()) {
    return {
        ErrorCode::kResourceExhausted,
        fmt::format("the memory plan does not fit {}: {} of {} layers and the output {:.0f} MiB + "
                    "{} times (their KV cache {:.0f} MiB ({} sequences of {} tokens) + activations "
                    "{:.0f} MiB) > {:.0f} MiB that {} may use; the largest --gpu-layers that fits "
                    "is {}",
                    device->name, device->layers, device->num_layers, mib(device->weights_bytes),
                    device->workers, mib(device->kv_bytes), parallel, context_tokens,
                    mib(device->activation_bytes), mib(device->budget_bytes),
                    device->workers == 1 ? "a worker" : "the workers", device->largest_layers),
        "gpu-layers"};
  }
  return {
      ErrorCode::kResourceExhausted,
      fmt::format("the memory plan does not fit: KV cache {:.0f} MiB ({} sequences of {} tokens) + "
                  "activations {:.0f} MiB > {:.0f} MiB, the budget of {:.0f} MiB available beside "
                  "{:.0f} MiB of weights; with --parallel {} the largest --ctx that fits is {}",
                  mib(kv_bytes), parallel, context_tokens, mib(activation_bytes), mib(own_budget()),
                  mib(available_bytes), mib(weights_bytes), parallel, largest_context()),
      "ctx"};
}

std::string MemoryPlan::describe() const {
  return fmt::format(
             "memory plan: weights {:.1f} MiB mapped and shared; each worker at most KV cache "
             "{:.1f} MiB "
             "({} pages of {} tokens, {}, touched as it fills) + activations {:.1f} MiB of {:.0f} "
             "MiB "
             "available; context {} tokens, {} sequences at once",
             mib(weights_bytes), mib(kv_bytes), kv_pages, page_tokens, dtype_info(kv_type).name,
             mib(activation_bytes), mib(available_bytes), context_tokens, parallel) +
         (device ? fmt::format("; on {} {} of {} layers and the output: weights {:.1f} MiB + {} "
                               "times (KV cache {:.1f} MiB + activations {:.1f} MiB) of {:.0f} MiB",
                               device->name, device->layers, device->num_layers,
                               mib(device->weights_bytes), device->workers, mib(device->kv_bytes),
                               mib(device->activation_bytes), mib(device->budget_bytes))
                 : std::string());
}

namespace {

/// The plan with the last `layers` layers on the GPU.
Result<MemoryPlan> size_with_layers(const EngineOptions& options, const ModelConfig& config,
                                    uint64_t weights_bytes, const GpuOffer* gpu, int32_t layers) {
  MemoryPlan plan;
  plan.weights_bytes = weights_bytes;
  plan.kv_type = options.kv_type;
  plan.vocab_size = config.vocab_size;
  plan.page_tokens = kPageTokens;
  plan.trained_context = config.context_length;
  plan.parallel = options.parallel > 0 ? options.parallel : kDefaultParallel;
  plan.context_tokens = options.context_tokens > 0 ? options.context_tokens : config.context_length;
  plan.limits.rows = std::max(options.step_tokens, plan.parallel);
  plan.limits.logit_rows = plan.parallel * kPromptLogprobRows;
  plan.limits.sequences = plan.parallel;
  plan.activation_bytes = ForwardPass::workspace_bytes(config, plan.limits);
  plan.available_bytes =
      options.memory_limit_bytes > 0 ? options.memory_limit_bytes : available_memory_bytes();
  if (layers > 0) plan.device = plan_device(*gpu, config, plan, layers);

  HEARTH_ASSIGN_OR_RETURN(plan.page_bytes, KvCache::page_bytes(config, options.kv_type));
  const uint64_t layer_bytes = plan.page_bytes / static_cast<uint64_t>(config.num_layers);
  const int64_t open = open_pages(plan, layer_bytes, config.num_layers);
  if (options.context_tokens == 0) {
    const int64_t open_tokens = std::min(open, kMaxPages) * kPageTokens;
    plan.context_tokens = static_cast<int32_t>(std::min<int64_t>(plan.context_tokens, open_tokens));
  }
  if (config.learned_positions > 0 && plan.context_tokens > config.learned_positions) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("ctx is {}, expected at most {}: the model has learned no further "
                            "positions",
                            plan.context_tokens, config.learned_positions),
                "ctx");
  }
  plan.limits.context_tokens = plan.context_tokens;
  const int64_t sequence_pages = ceil_div<int64_t>(plan.context_tokens, kPageTokens);
  plan.kv_pages = sequence_pages * plan.parallel;
  if (options.parallel == 0 || options.context_tokens == 0)
    plan.kv_pages = std::clamp(open, sequence_pages, plan.kv_pages);
  plan.kv_pages = std::min(plan.kv_pages, kMaxPages);
  plan.kv_bytes = saturating_mul(plan.kv_pages,
                                 layer_bytes * static_cast<uint64_t>(config.num_layers - layers));
  if (plan.device)
    plan.device->kv_bytes =
        saturating_mul(plan.kv_pages, layer_bytes * static_cast<uint64_t>(layers));
  return plan;
}

/// The most layers whose plan fits, and leaves a context that one can work with.
Result<int32_t> most_layers(const EngineOptions& options, const ModelConfig& config,
                            uint64_t weights_bytes, const GpuOffer& gpu) {
  constexpr int32_t kUsefulContext = 4096;
  const int32_t useful = std::min(config.context_length, kUsefulContext);
  for (int32_t layers = config.num_layers; layers > 0; --layers) {
    HEARTH_ASSIGN_OR_RETURN(const MemoryPlan plan,
                            size_with_layers(options, config, weights_bytes, &gpu, layers));
    if (plan.fits() && (options.context_tokens > 0 || plan.context_tokens >= useful)) return layers;
  }
  return 0;
}

}  // namespace

Result<MemoryPlan> size_memory_plan(const EngineOptions& options, const ModelConfig& config,
                                    uint64_t weights_bytes, const GpuOffer* gpu) {
  if (gpu == nullptr) return size_with_layers(options, config, weights_bytes, nullptr, 0);
  HEARTH_ASSIGN_OR_RETURN(const int32_t most, most_layers(options, config, weights_bytes, *gpu));
  int32_t layers = most;
  if (options.gpu_layers.kind == GpuLayers::Kind::kAll) layers = config.num_layers;
  if (options.gpu_layers.kind == GpuLayers::Kind::kCount)
    layers = std::min(options.gpu_layers.count, config.num_layers);
  HEARTH_ASSIGN_OR_RETURN(MemoryPlan plan,
                          size_with_layers(options, config, weights_bytes, gpu, layers));
  if (plan.device) plan.device->largest_layers = most;
  return plan;
}

Result<MemoryPlan> make_memory_plan(const EngineOptions& options, const ModelConfig& config,
                                    uint64_t weights_bytes, const GpuOffer* gpu) {
  HEARTH_ASSIGN_OR_RETURN(const MemoryPlan plan,
                          size_memory_plan(options, config, weights_bytes, gpu));
  if (!plan.fits()) return std::unexpected(plan.shortfall());
  return plan;
}

}  // namespace hearth
