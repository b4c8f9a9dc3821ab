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

}  // namespace

uint64_t MemoryPlan::own_budget() const {
  return available_bytes - std::min(weights_bytes, available_bytes / 2);
}

bool MemoryPlan::fits() const {
  return context_tokens > 0 && saturating_add(kv_bytes, activation_bytes) <= own_budget();
}

int32_t MemoryPlan::largest_context() const {
  const uint64_t left = own_budget() - std::min(own_budget(), activation_bytes);
  const uint64_t pages = left / page_bytes / static_cast<uint64_t>(parallel);
  return static_cast<int32_t>(std::min<uint64_t>(pages, kMaxPages) * kPageTokens);
}

Error MemoryPlan::shortfall() const {
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
      "memory plan: weights {:.1f} MiB mapped and shared; each worker at most KV cache {:.1f} MiB "
      "({} pages of {} tokens, {}, touched as it fills) + activations {:.1f} MiB of {:.0f} MiB "
      "available; context {} tokens, {} sequences at once",
      mib(weights_bytes), mib(kv_bytes), kv_pages, page_tokens, dtype_info(kv_type).name,
      mib(activation_bytes), mib(available_bytes), context_tokens, parallel);
}

Result<MemoryPlan> size_memory_plan(const EngineOptions& options, const ModelConfig& config,
                                    uint64_t weights_bytes) {
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
  plan.activation_bytes = ForwardPass::workspace_bytes(config, plan.limits);
  plan.available_bytes =
      options.memory_limit_bytes > 0 ? options.memory_limit_bytes : available_memory_bytes();

  HEARTH_ASSIGN_OR_RETURN(plan.page_bytes, KvCache::page_bytes(config, options.kv_type));
  const auto open_pages = static_cast<int64_t>(open_kv_budget(plan) / plan.page_bytes);
  if (options.context_tokens == 0) {
    const int64_t open_tokens = std::min(open_pages, kMaxPages) * kPageTokens;
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
    plan.kv_pages = std::clamp(open_pages, sequence_pages, plan.kv_pages);
  plan.kv_pages = std::min(plan.kv_pages, kMaxPages);

  plan.kv_bytes = checked_mul(static_cast<uint64_t>(plan.kv_pages), plan.page_bytes)
                      .value_or(std::numeric_limits<uint64_t>::max());
  return plan;
}

Result<MemoryPlan> make_memory_plan(const EngineOptions& options, const ModelConfig& config,
                                    uint64_t weights_bytes) {
  HEARTH_ASSIGN_OR_RETURN(const MemoryPlan plan, size_memory_plan(options, config, weights_bytes));
  if (!plan.fits()) return std::unexpected(plan.shortfall());
  return plan;
}

}  // namespace hearth
