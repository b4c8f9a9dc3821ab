#include "engine/evaluate/evaluator.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/checked_math.h"
#include "base/cpus.h"
#include "engine/backend/gpu.h"
#include "engine/evaluate/logit_distance.h"
#include "engine/memory_plan.h"
#include "kernels/cpu/cpu_backend.h"

namespace hearth {

Result<std::unique_ptr<Evaluator>> Evaluator::load(const EngineOptions& options, bool profiled) {
  static const SteadyClock clock;
  HEARTH_ASSIGN_OR_RETURN(const kernels::KernelTable* table,
                          kernels::select_cpu_kernels(options.isa));
  HEARTH_ASSIGN_OR_RETURN(auto model, Model::load(options.model));
  EngineOptions planned = options;
  planned.parallel = std::max(options.parallel, 1);
  HEARTH_ASSIGN_OR_RETURN(Gpus gpus, open_gpus(options, *model));
  HEARTH_ASSIGN_OR_RETURN(
      MemoryPlan plan,
      make_memory_plan(planned, model->config(), model->file().mapped_bytes(), gpus.offered()));
  const Placement placement = gpus.place(plan);
  plan.limits.logit_rows = std::max(planned.parallel, kLogitRows);
  HEARTH_ASSIGN_OR_RETURN(KvCache kv,
                          KvCache::create(model->config(), plan.kv_type, plan.kv_pages, placement));
  const kernels::KernelTable& cpu_kernels = *table;
  std::unique_ptr<OpProfile> profile;
  if (profiled) {
    profile = std::make_unique<OpProfile>(*table, clock);
    profile->name_weights(*model);
    table = &profile->table();
  }
  HEARTH_ASSIGN_OR_RETURN(ForwardPass forward,
                          ForwardPass::create(*model, *table, plan.limits, placement));
  const int threads = options.threads > 0 ? options.threads : usable_cpus();
  auto pool = std::make_unique<kernels::ThreadPool>(threads, threads <= usable_cpus());
  const int32_t sequence_pages = ceil_div(plan.context_tokens, plan.page_tokens);
  if (!options.gpu_graphs) forward.launch_plainly();
  kernels::Device* const output_device = forward.output_device();
  std::unique_ptr<Evaluator> evaluator(new Evaluator(
      std::move(model), std::move(gpus.devices), std::move(profile), cpu_kernels, std::move(pool),
      std::move(kv), std::move(forward), plan.limits, planned.parallel, sequence_pages));
  if (output_device != nullptr && options.gpu_sampling)
    HEARTH_RETURN_IF_ERROR(evaluator->draw_on(*output_device, planned.parallel));
  return evaluator;
}

Status Evaluator::draw_on(kernels::Device& device, int32_t num_sequences) {
  HEARTH_ASSIGN_OR_RETURN(sampler_,
                          DeviceSampler::create(device, num_sequences, config().vocab_size));
  for (int32_t i = 0; i < num_sequences; ++i)
    samplers_.emplace_back(SamplingParams{}, std::span<const int32_t>(), i, config().vocab_size);
  return {};
}

Evaluator::Evaluator(std::unique_ptr<Model> model,
                     std::vector<std::unique_ptr<kernels::Device>> devices,
                     std::unique_ptr<OpProfile> profile, const kernels::KernelTable& cpu_kernels,
                     std::unique_ptr<kernels::ThreadPool> pool, KvCache kv, ForwardPass forward,
                     const ForwardLimits& limits, int32_t num_sequences, int32_t sequence_pages)
    : model_(std::move(model)),
      devices_(std::move(devices)),
      profile_(std::move(profile)),
      isa_(cpu_kernels.name),
      half_rounding_(cpu_kernels.half_rounding),
      pool_(std::move(pool)),
      kv_(std::move(kv)),
      forward_(std::move(forward)),
      limits_(limits),
      sequence_pages_(sequence_pages),
      page_numbers_(static_cast<size_t>(sequence_pages) * static_cast<size_t>(num_sequences)) {
  std::iota(page_numbers_.begin(), page_numbers_.end(), 0);
  for (const auto& device : devices_)
    half_rounding_ = std::max(half_rounding_, device->table().half_rounding);
}

const int32_t* Evaluator::pages(int32_t index) const {
  return page_numbers_.data() + static_cast<size_t>(index) * static_cast<size_t>(sequence_pages_);
}

Status Evaluator::check_sequence(std::span<const int32_t> tokens) const {
  if (std::cmp_greater(tokens.size(), sequence_pages_ * kPageTokens)) {
    return fail(ErrorCode::kContextLengthExceeded,
                fmt::format("the sequence has {} tokens, the context holds {}", tokens.size(),
                            sequence_pages_ * kPageTokens),
                "tokens");
  }
  for (const int32_t token : tokens) {
    if (token < 0 || token >= config().vocab_size)
      return fail(
          ErrorCode::kInvalidArgument,
          fmt::format("token {} is out of range, expected 0 to {}", token, config().vocab_size - 1),
          "tokens");
  }
  return {};
}

template <typename F>
void Evaluator::for_each_row(std::span<const int32_t> tokens, int32_t chunk, const F& f) {
  const auto rows =
      static_cast<size_t>(std::clamp(chunk, 1, std::min(limits_.rows, limits_.logit_rows)));
  for (size_t begin = 0; begin < tokens.size(); begin += rows) {
    const size_t count = std::min(rows, tokens.size() - begin);
    batch_.clear();
    batch_.begin_sequence(static_cast<int32_t>(begin), pages(0));
    for (size_t i = 0; i < count; ++i) batch_.push(tokens[begin + i], true);
    forward_.run({.pool = pool_.get()}, batch_, kv_);
    for (size_t i = 0; i < count; ++i) f(begin + i, forward_.logits(i));
  }
}

Result<std::vector<float>> Evaluator::logits(std::span<const int32_t> tokens, int32_t chunk) {
  HEARTH_RETURN_IF_ERROR(check_sequence(tokens));
  const auto vocab = static_cast<size_t>(config().vocab_size);
  std::vector<float> out(tokens.size() * vocab);
  for_each_row(tokens, chunk, [&](size_t row, std::span<const float> logits) {
    std::ranges::copy(logits, out.begin() + static_cast<ptrdiff_t>(row * vocab));
  });
  return out;
}

Result<double> Evaluator::sequence_nll(std::span<const int32_t> tokens) {
  HEARTH_RETURN_IF_ERROR(check_sequence(tokens));
  double sum = 0.0;
  for_each_row(tokens, kLogitRows, [&](size_t row, std::span<const float> logits) {
    if (row + 1 < tokens.size()) sum += negative_log_likelihood(logits, tokens[row + 1]);
  });
  return sum;
}

MachineLimits Evaluator::machine_limits() {
  return measure_limits(*pool_, isa_, weight_spans(*model_));
}

void Evaluator::append(int32_t index, int32_t position, std::span<const int32_t> tokens,
                       bool wants_logits) {
  batch_.clear();
  batch_.begin_sequence(position, pages(index));
  for (size_t i = 0; i < tokens.size(); ++i)
    batch_.push(tokens[i], wants_logits && i + 1 == tokens.size());
  forward_.run({.pool = pool_.get()}, batch_, kv_);
}

void Evaluator::decode(int32_t position, std::span<const int32_t> tokens) {
  batch_.clear();
  for (size_t i = 0; i < tokens.size(); ++i) {
    batch_.begin_sequence(position, pages(static_cast<int32_t>(i)));
    batch_.push(tokens[i], true);
  }
  LogitUse use;
  if (sampler_) {
    sampler_->begin_step();
    for (size_t i = 0; i < tokens.size(); ++i) sampler_->add(i, samplers_[i], position, i);
    use = {.sampler = &*sampler_, .all_to_host = false, .to_host = {}};
  }
  forward_.run({.pool = pool_.get()}, batch_, kv_, {}, use);
}

}  // namespace hearth
