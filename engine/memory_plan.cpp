#include "engine/memory_plan.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>

#include "base/checked_math.h"
#include "engine/engine.h"
#include "engine/kv_cache/kv_cache.h"

namespace hearth {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;
constexpr int64_t kMaxPages = INT32_MAX / kPageTokens;

double mib(uint64_t bytes) { return static_cast<double>(bytes) / kMiB; }

/// What a worker may use of its own: all that the mapped weights leave, and at least half where the
/// weights are larger than the memory and are paged.
uint64_t own_budget(const MemoryPlan& plan) {
  return plan.available_bytes - std::min(plan.weights_bytes, plan.available_bytes / 2);
}

/// What an open-ended plan gives to KV pages: three quarters of the budget, less activations.
uint64_t open_kv_budget(const MemoryPlan& plan) {
  const uint64_t budget = own_budget(plan) / 4 * 3;
  return budget - std::min(budget, plan.activation_bytes);
}

std::unexpected<Error> does_not_fit(const MemoryPlan& plan, uint64_t kv_bytes,
                                    uint64_t page_bytes) {
  const uint64_t left = own_budget(plan) - std::min(own_budget(plan), plan.activation_bytes);
  const uint64_t fitting = left / page_bytes / static_cast<uint64_t>(plan.parallel) * kPageTokens;
  return fail(
      ErrorCode::kResourceExhausted,
      fmt::format("the memory plan does not fit: KV cache {:.0f} MiB ({} sequences of {} "
                  "tokens) + activations {:.0f} MiB > {:.0f} MiB available; with --parallel "
                  "{} the largest --ctx that fits is {}",
                  mib(kv_bytes), plan.parallel, plan.context_tokens, mib(plan.activation_bytes),
                  mib(plan.available_bytes), plan.parallel, fitting),
      "ctx");
}

}  // namespace

std::string MemoryPlan::describe() const {
  return fmt::format(
      "memory plan: weights {:.1f} MiB mapped and shared; each worker at most KV cache {:.1f} MiB "
      "({} pages of {} tokens, {}, touched as it fills) + activations {:.1f} MiB of {:.0f} MiB "
      "available; context {} tokens, {} sequences at once",
      mib(weights_bytes), mib(kv_bytes), kv_pages, page_tokens, dtype_info(kv_type).name,
      mib(activation_bytes), mib(available_bytes), context_tokens, parallel);
}

Result<MemoryPlan> make_memory_plan(const EngineOptions& options, const ModelConfig& config,
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

  HEARTH_ASSIGN_OR_RETURN(const uint64_t page_bytes, KvCache::page_bytes(config, options.kv_type));
  const auto open_pages = static_cast<int64_t>(open_kv_budget(plan) / page_bytes);
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

  const auto kv_bytes = checked_mul<uint64_t>(static_cast<uint64_t>(plan.kv_pages), page_bytes);
  if (plan.context_tokens == 0 || !kv_bytes || plan.activation_bytes > own_budget(plan) ||
      *kv_bytes > own_budget(plan) - plan.activation_bytes) {
    return does_not_fit(plan, kv_bytes.value_or(UINT64_MAX), page_bytes);
  }
  plan.kv_bytes = *kv_bytes;
  return plan;
}

}  // namespace hearth
