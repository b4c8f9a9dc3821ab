#include "engine/memory_plan.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/checked_math.h"
#include "engine/backend/layer_split.h"
#include "engine/engine.h"
#include "engine/kv_cache/kv_cache.h"

namespace hearth {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;
constexpr int64_t kMaxPages = INT32_MAX / kPageTokens;

double mib(uint64_t bytes) { return static_cast<double>(bytes) / kMiB; }

/// What a plan may give to KV pages: of sizes that the user left open, a part alone.
enum class Share { kAll, kOpen };

/// Of the CPU's memory an open plan gives three quarters of the budget to pages and activations.
uint64_t kv_budget(const MemoryPlan& plan, Share share) {
  const uint64_t budget = share == Share::kAll ? plan.own_budget() : plan.own_budget() / 4 * 3;
  return budget - std::min(budget, plan.activation_bytes);
}

/// Of a GPU's, nine tenths of what all else leaves.
bool has_room(const DevicePlan& device, Share share) {
  const uint64_t left = device.left_for_kv();
  return device.fits() && (share == Share::kAll || device.kv_bytes <= left - left / 10);
}

/// Works plans out for one model and configuration.
class Planner {
 public:
  Planner(const EngineOptions& options, const ModelConfig& config, uint64_t weights_bytes,
          const GpuOffer* gpu)
      : options_(options), config_(config), gpu_(gpu) {
    base_.weights_bytes = weights_bytes;
    base_.kv_type = options.kv_type;
    base_.vocab_size = config.vocab_size;
    base_.page_tokens = kPageTokens;
    base_.trained_context = config.context_length;
    base_.num_layers = config.num_layers;
    base_.parallel = options.parallel > 0 ? options.parallel : kDefaultParallel;
    base_.context_tokens =
        options.context_tokens > 0 ? options.context_tokens : config.context_length;
    base_.limits.rows = std::max(options.step_tokens, base_.parallel);
    base_.limits.logit_rows = base_.parallel * kPromptLogprobRows;
    base_.limits.sequences = base_.parallel;
    base_.limits.fast_math_order = options.fast_math_order;
    base_.activation_bytes = ForwardPass::workspace_bytes(config, base_.limits);
    base_.available_bytes =
        options.memory_limit_bytes > 0 ? options.memory_limit_bytes : available_memory_bytes();
    if (gpu == nullptr) return;
    weights_before_.push_back(0);
    for (const uint64_t bytes : gpu->weights.layers)
      weights_before_.push_back(weights_before_.back() + bytes);
    activation_bytes_ = device_activation_bytes(base_.limits);
    inner_activation_bytes_ = device_activation_bytes(ForwardPass::without_logits(base_.limits));
  }

  /// The plan with the last `layers` layers on GPUs.
  Result<MemoryPlan> with_layers(int32_t layers) const;
  /// The most layers whose plan fits, and leaves a context that one can work with.
  [[nodiscard]] Result<int32_t> most_layers() const;

 private:
  [[nodiscard]] uint64_t device_activation_bytes(const ForwardLimits& limits) const {
    return saturating_add(ForwardPass::workspace_bytes(config_, limits),
                          ForwardPass::device_scratch_bytes(config_, limits));
  }
  /// Of one page.
  [[nodiscard]] uint64_t layer_bytes(const MemoryPlan& plan) const {
    return plan.page_bytes / static_cast<uint64_t>(config_.num_layers);
  }
  /// What device `index` takes for a range with so many KV pages.
  [[nodiscard]] DevicePlan device_plan(const MemoryPlan& plan, size_t index,
                                       const LayerRange& range, int64_t pages) const;
  /// The best split of the last layers for so many pages, or nothing if none has the room.
  [[nodiscard]] std::optional<LayerSplit> split(const MemoryPlan& plan, int32_t layers,
                                                int64_t pages, Share share) const;
  /// The most pages that CPU and GPUs have the room for.
  [[nodiscard]] int64_t most_pages(const MemoryPlan& plan, int32_t layers, Share share) const;
  Status choose_context(MemoryPlan& plan, int32_t layers) const;
  void place_layers(MemoryPlan& plan, int32_t layers) const;

  const EngineOptions& options_;
  const ModelConfig& config_;
  const GpuOffer* gpu_;
  MemoryPlan base_;
  std::vector<uint64_t> weights_before_;  // of the layers before each, on a GPU
  uint64_t activation_bytes_ = 0;         // of a GPU with the output
  uint64_t inner_activation_bytes_ = 0;   // of one without
};

DevicePlan Planner::device_plan(const MemoryPlan& plan, size_t index, const LayerRange& range,
                                int64_t pages) const {
  const DeviceOffer& offer = gpu_->devices[index];
  DevicePlan device{.name = {},
                    .index = offer.index,
                    .layers = range,
                    .workers = gpu_->workers,
                    .budget_bytes = offer.budget_bytes,
                    .total_bytes = offer.total_bytes};
  if (range.num_layers == 0) return device;
  device.weights_bytes = weights_before_[static_cast<size_t>(range.end())] -
                         weights_before_[static_cast<size_t>(range.first_layer)] +
                         (range.has_output ? gpu_->weights.output : 0);
  if (!plan.kv_on_host)
    device.kv_bytes = saturating_mul(static_cast<uint64_t>(pages),
                                     layer_bytes(plan) * static_cast<uint64_t>(range.num_layers));
  device.activation_bytes = range.has_output ? activation_bytes_ : inner_activation_bytes_;
  device.context_bytes = offer.context_bytes;
  return device;
}

std::optional<LayerSplit> Planner::split(const MemoryPlan& plan, int32_t layers, int64_t pages,
                                         Share share) const {
  const int32_t first = config_.num_layers - layers;
  const auto holds = [&](size_t device, const LayerRange& range) {
    return has_room(device_plan(plan, device, range, pages), share);
  };
  if (options_.split.parts.empty())
    return split_if_held(first, config_.num_layers, gpu_->devices.size(), holds);
  LayerSplit given = split_by_parts(first, config_.num_layers, options_.split.parts);
  for (size_t i = 0; i < given.size(); ++i)
    if (given[i].num_layers > 0 && !holds(i, given[i])) return std::nullopt;
  return given;
}

int64_t Planner::most_pages(const MemoryPlan& plan, int32_t layers, Share share) const {
  int64_t most = kMaxPages;
  const int32_t host_layers = plan.kv_on_host ? config_.num_layers : config_.num_layers - layers;
  if (host_layers > 0) {
    const uint64_t page = layer_bytes(plan) * static_cast<uint64_t>(host_layers);
    most =
        static_cast<int64_t>(std::min(static_cast<uint64_t>(most), kv_budget(plan, share) / page));
  }
  if (layers == 0 || split(plan, layers, most, share)) return most;
  int64_t least = 0;  // of none it is not said that there is room
  while (most - least > 1) {
    const int64_t middle = std::midpoint(least, most);
    (split(plan, layers, middle, share) ? least : most) = middle;
  }
  return least;
}

Status Planner::choose_context(MemoryPlan& plan, int32_t layers) const {
  const bool is_open = options_.parallel == 0 || options_.context_tokens == 0;
  const int64_t open = is_open ? most_pages(plan, layers, Share::kOpen) : 0;
  if (options_.context_tokens == 0) {
    const int64_t open_tokens = std::min(open, kMaxPages) * kPageTokens;
    plan.context_tokens = static_cast<int32_t>(std::min<int64_t>(plan.context_tokens, open_tokens));
  }
  if (config_.learned_positions > 0 && plan.context_tokens > config_.learned_positions) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("ctx is {}, expected at most {}: the model has learned no further "
                            "positions",
                            plan.context_tokens, config_.learned_positions),
                "ctx");
  }
  plan.limits.context_tokens = plan.context_tokens;
  const int64_t sequence_pages = ceil_div<int64_t>(plan.context_tokens, kPageTokens);
  plan.kv_pages = sequence_pages * plan.parallel;
  if (is_open) plan.kv_pages = std::clamp(open, sequence_pages, plan.kv_pages);
  plan.kv_pages = std::min(plan.kv_pages, kMaxPages);
  return {};
}

/// The layers' GPUs and what each takes, whether they have the room or not.
void Planner::place_layers(MemoryPlan& plan, int32_t layers) const {
  const int32_t first = config_.num_layers - layers;
  LayerSplit ranges;
  if (options_.split.parts.empty()) {
    std::vector<uint64_t> budgets;
    for (const DeviceOffer& offer : gpu_->devices) budgets.push_back(offer.budget_bytes);
    ranges = split_by_fill(first, config_.num_layers, budgets,
                           [&](size_t device, const LayerRange& range) {
                             return device_plan(plan, device, range, plan.kv_pages).bytes();
                           });
  } else {
    ranges = split_by_parts(first, config_.num_layers, options_.split.parts);
  }
  for (size_t i = 0; i < ranges.size(); ++i) {
    const DeviceOffer& offer = gpu_->devices[i];
    if (ranges[i].num_layers == 0) {
      plan.unused.push_back(fmt::format("{} {}", offer.name, offer.index));
      continue;
    }
    plan.devices.push_back(device_plan(plan, i, ranges[i], plan.kv_pages));
    plan.devices.back().name = offer.name;
  }
}

Result<MemoryPlan> Planner::with_layers(int32_t layers) const {
  MemoryPlan plan = base_;
  HEARTH_ASSIGN_OR_RETURN(plan.page_bytes, KvCache::page_bytes(config_, options_.kv_type));
  if (layers > 0) {
    plan.kv_on_host = !options_.kv_offload;
    plan.activation_bytes =
        saturating_add(plan.activation_bytes,
                       ForwardPass::crossing_bytes(config_, plan.limits,
                                                   plan.kv_on_host ? gpu_->devices.size() : 0));
  }
  HEARTH_RETURN_IF_ERROR(choose_context(plan, layers));
  plan.most_pages = most_pages(plan, layers, Share::kAll);
  const int32_t host_layers = plan.kv_on_host ? config_.num_layers : config_.num_layers - layers;
  plan.kv_bytes = saturating_mul(static_cast<uint64_t>(plan.kv_pages),
                                 layer_bytes(plan) * static_cast<uint64_t>(host_layers));
  if (layers > 0) place_layers(plan, layers);
  return plan;
}

Result<int32_t> Planner::most_layers() const {
  constexpr int32_t kUsefulContext = 4096;
  const int32_t useful = std::min(config_.context_length, kUsefulContext);
  for (int32_t layers = config_.num_layers; layers > 0; --layers) {
    HEARTH_ASSIGN_OR_RETURN(const MemoryPlan plan, with_layers(layers));
    if (plan.fits() && (options_.context_tokens > 0 || plan.context_tokens >= useful))
      return layers;
  }
  return 0;
}

std::string device_sum(const DevicePlan& device, int32_t num_layers) {
  return fmt::format(
      "{}: {} of {} layers{} {:.1f} MiB + {} times (their KV cache {:.1f} MiB + activations {:.1f} "
      "MiB + context {:.0f} MiB), of {:.0f} MiB that {} may use",
      device.name, device.layers.num_layers, num_layers,
      device.layers.has_output ? " and the output" : "", mib(device.weights_bytes), device.workers,
      mib(device.kv_bytes), mib(device.activation_bytes), mib(device.context_bytes),
      mib(device.budget_bytes), device.workers == 1 ? "a worker" : "the workers");
}

}  // namespace

uint64_t MemoryPlan::own_budget() const {
  return available_bytes - std::min(weights_bytes, available_bytes / 2);
}

bool MemoryPlan::fits() const {
  return std::ranges::all_of(devices, &DevicePlan::fits) && context_tokens > 0 &&
         saturating_add(kv_bytes, activation_bytes) <= own_budget();
}

int32_t MemoryPlan::device_layers() const {
  return std::accumulate(
      devices.begin(), devices.end(), 0,
      [](int32_t sum, const DevicePlan& device) { return sum + device.layers.num_layers; });
}

int32_t MemoryPlan::largest_context() const {
  return static_cast<int32_t>(most_pages / parallel * kPageTokens);
}

Error MemoryPlan::shortfall() const {
  std::vector<std::string> sums;
  for (const DevicePlan& device : devices)
    if (!device.fits()) sums.push_back(device_sum(device, num_layers));
  if (!sums.empty()) {
    return {ErrorCode::kResourceExhausted,
            fmt::format("the memory plan does not fit {} ({} sequences of {} tokens); the largest "
                        "--gpu-layers that fits is {}",
                        fmt::join(sums, "; nor "), parallel, context_tokens, most_device_layers),
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
  std::string text = fmt::format(
      "memory plan: weights {:.1f} MiB mapped and shared; each worker at most KV cache {:.1f} MiB "
      "({} pages of {} tokens, {}, touched as it fills) + activations {:.1f} MiB of {:.0f} MiB "
      "available; context {} tokens, {} sequences at once",
      mib(weights_bytes), mib(kv_bytes), kv_pages, page_tokens, dtype_info(kv_type).name,
      mib(activation_bytes), mib(available_bytes), context_tokens, parallel);
  for (const DevicePlan& device : devices)
    text += fmt::format("; GPU {}, {}", device.index, device_sum(device, num_layers));
  if (kv_on_host)
    text += "; the KV cache of all layers is in host memory, and attention on the CPU";
  if (!unused.empty()) text += fmt::format("; no layer on {}", fmt::join(unused, ", "));
  return text;
}

Result<MemoryPlan> size_memory_plan(const EngineOptions& options, const ModelConfig& config,
                                    uint64_t weights_bytes, const GpuOffer* gpu) {
  const Planner planner(options, config, weights_bytes, gpu);
  if (gpu == nullptr) return planner.with_layers(0);
  HEARTH_CHECK(options.split.parts.empty() || options.split.parts.size() == gpu->devices.size(),
               "there is a part for each GPU");
  HEARTH_ASSIGN_OR_RETURN(const int32_t most, planner.most_layers());
  int32_t layers = most;
  if (options.gpu_layers.kind == GpuLayers::Kind::kAll) layers = config.num_layers;
  if (options.gpu_layers.kind == GpuLayers::Kind::kCount)
    layers = std::min(options.gpu_layers.count, config.num_layers);
  HEARTH_ASSIGN_OR_RETURN(MemoryPlan plan, planner.with_layers(layers));
  plan.most_device_layers = most;
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
