#include "engine/engine.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "base/cpus.h"
#include "engine/backend/gpu.h"
#include "engine/engine_impl.h"
#include "kernels/cpu/cpu_backend.h"

namespace hearth {
namespace {

std::unexpected<Error> bad_request(std::string message, const char* param) {
  return fail(ErrorCode::kInvalidArgument, std::move(message), param);
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::load(const EngineOptions& options) {
  HEARTH_ASSIGN_OR_RETURN(const kernels::KernelTable* table,
                          kernels::select_cpu_kernels(options.isa));
  HEARTH_ASSIGN_OR_RETURN(auto model, Model::load(options.model));
  HEARTH_ASSIGN_OR_RETURN(Gpus gpus, open_gpus(options, *model));
  HEARTH_ASSIGN_OR_RETURN(
      const MemoryPlan plan,
      make_memory_plan(options, model->config(), model->file().mapped_bytes(), gpus.offered()));
  Placement placement = gpus.place(plan);
  placement.weights = {options.weights_exchange, options.gpu_sharers > 0};
  HEARTH_ASSIGN_OR_RETURN(KvCache kv,
                          KvCache::create(model->config(), plan.kv_type, plan.kv_pages, placement));
  HEARTH_ASSIGN_OR_RETURN(ForwardPass forward,
                          ForwardPass::create(*model, *table, plan.limits, placement));
  if (!options.gpu_graphs) forward.launch_plainly();
  const int threads = options.threads > 0 ? options.threads : usable_cpus();
  auto pool = std::make_unique<kernels::ThreadPool>(threads, threads <= usable_cpus());
  const SchedulerOptions scheduling{.step_tokens = plan.limits.rows,
                                    .prefill_chunk = options.prefill_chunk,
                                    .max_running = plan.parallel,
                                    .page_tokens = plan.page_tokens,
                                    .num_pages = static_cast<int32_t>(plan.kv_pages)};
  auto impl =
      std::make_unique<Impl>(std::move(model), std::move(gpus.devices), plan, std::move(pool),
                             std::move(kv), std::move(forward), scheduling);
  impl->hash_logits = options.hash_logits;
  if (kernels::Device* device = impl->forward.output_device();
      device != nullptr && options.gpu_sampling) {
    HEARTH_ASSIGN_OR_RETURN(impl->device_sampler,
                            DeviceSampler::create(*device, plan.parallel, plan.vocab_size));
  }
  impl->kernels = fmt::format("{} kernels, {} threads", table->name, threads);
  for (const DeviceRange& range : placement.devices)
    impl->kernels +=
        fmt::format("; {} kernels on {} for {} of {} layers", range.device->table().name,
                    range.device->info().name, range.layers.num_layers, plan.num_layers);
  if (const std::string& library = impl->forward.gemm_library(); !library.empty())
    impl->kernels += fmt::format("; many rows by {} (--fast-math-order)", library);
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

Status Engine::submit(GenerateRequest request) {
  HEARTH_RETURN_IF_ERROR(impl_->validate(request));
  impl_->submit(std::move(request));
  return {};
}

void Engine::cancel(RequestId id) {
  if (!impl_->requests.contains(id)) return;
  impl_->end(id);
  ++impl_->stats.cancelled;
}

void Engine::stop_choice(RequestId id, int32_t choice) {
  const auto it = impl_->requests.find(id);
  if (it == impl_->requests.end()) return;
  LiveRequest& request = *it->second;
  if (choice < 0 || std::cmp_greater_equal(choice, request.choices.size())) return;
  Choice& stopped = *request.choices[static_cast<size_t>(choice)];
  if (!stopped.finished) impl_->finish(stopped, FinishReason::kStop, false);
}

bool Engine::has_work() const { return !impl_->scheduler.empty(); }

void Engine::step() { impl_->step(); }

std::vector<EngineEvent> Engine::poll() { return std::exchange(impl_->events, {}); }

std::vector<QueueTime> Engine::take_queue_times() { return std::exchange(impl_->queue_times, {}); }

EngineStats Engine::stats() const {
  EngineStats stats = impl_->stats;
  stats.running = impl_->scheduler.running();
  stats.waiting = impl_->scheduler.waiting();
  const PagePool& pool = impl_->scheduler.pool();
  stats.kv_pages_total = pool.total();
  stats.kv_pages_used = pool.used();
  stats.kv_pages_cached = pool.cached();
  const SchedulerCounts& counts = impl_->scheduler.counts();
  stats.preemptions = counts.preemptions;
  stats.prefix_cache_queries_tokens = counts.cache_queries_tokens;
  stats.prefix_cache_hits_tokens = counts.cache_hits_tokens;
  return stats;
}

void Engine::on_progress(std::function<void()> call) { impl_->progress = std::move(call); }

const MemoryPlan& Engine::plan() const { return impl_->plan; }

std::string Engine::kernels() const { return impl_->kernels; }

Status Engine::Impl::validate(const GenerateRequest& request) const {
  const auto in_vocab = [this](int32_t token) { return token >= 0 && token < plan.vocab_size; };
  if (requests.contains(request.id))
    return bad_request(fmt::format("request id {} is in use", request.id), "id");
  if (request.prompt.empty()) return bad_request("the prompt has no tokens", "prompt");
  const auto bad = std::ranges::find_if_not(request.prompt, in_vocab);
  if (bad != request.prompt.end()) {
    return bad_request(fmt::format("prompt[{}] is token {}, expected 0 to {}",
                                   bad - request.prompt.begin(), *bad, plan.vocab_size - 1),
                       "prompt");
  }
  for (const auto& [token, bias] : request.sampling.logit_bias) {
    if (!in_vocab(token))
      return bad_request(
          fmt::format("logit_bias names token {}, expected 0 to {}", token, plan.vocab_size - 1),
          "logit_bias");
  }
  if (request.num_choices < 1)
    return bad_request(fmt::format("n is {}, expected at least 1", request.num_choices), "n");
  if (request.max_tokens < 0) {
    return bad_request(fmt::format("max_tokens is {}, expected at least 0", request.max_tokens),
                       "max_tokens");
  }
  const size_t longest = request.prompt.size() + static_cast<size_t>(request.max_tokens);
  if (longest > static_cast<size_t>(plan.context_tokens)) {
    return fail(ErrorCode::kContextLengthExceeded,
                fmt::format("the context holds {} tokens; the prompt has {} and max_tokens is {}",
                            plan.context_tokens, request.prompt.size(), request.max_tokens),
                "prompt");
  }
  if (!request.delivered.empty() &&
      std::cmp_not_equal(request.delivered.size(), request.num_choices)) {
    return bad_request(fmt::format("delivered has {} choices, expected {}",
                                   request.delivered.size(), request.num_choices),
                       "delivered");
  }
  const auto open = std::ranges::count(request.finished, uint8_t{0});
  if (!request.finished.empty() &&
      (std::cmp_not_equal(request.finished.size(), request.num_choices) || open == 0)) {
    return bad_request(
        fmt::format("finished has {} choices, {} of them open, expected {} with an open one",
                    request.finished.size(), open, request.num_choices),
        "finished");
  }
  for (const std::vector<int32_t>& tokens : request.delivered) {
    if (std::cmp_greater(tokens.size(), request.max_tokens) ||
        !std::ranges::all_of(tokens, in_vocab))
      return bad_request("delivered tokens contradict the request or the vocabulary", "delivered");
  }
  return {};
}

void Engine::Impl::submit(GenerateRequest spec) {
  auto request = std::make_unique<LiveRequest>();
  request->spec = std::move(spec);
  request->submitted = std::chrono::steady_clock::now();
  request->stop_tokens.insert(request->spec.stop_tokens.begin(), request->spec.stop_tokens.end());
  request->unfinished = request->spec.num_choices;
  for (int32_t i = 0; i < request->spec.num_choices; ++i) {
    auto choice = std::make_unique<Choice>();
    choice->request = request.get();
    choice->index = i;
    choice->sequence = next_sequence++;
    choice->tokens = request->spec.prompt;
    choice->sampler =
        std::make_unique<Sampler>(request->spec.sampling, request->spec.prompt, i, plan.vocab_size);
    if (!request->spec.delivered.empty()) {
      for (const int32_t token : request->spec.delivered[static_cast<size_t>(i)]) {
        choice->tokens.push_back(token);
        choice->sampler->accept(token);
      }
    }
    choice->finished =
        !request->spec.finished.empty() && request->spec.finished[static_cast<size_t>(i)] != 0;
    if (choice->finished) --request->unfinished;
    request->choices.push_back(std::move(choice));
  }
  LiveRequest& live = *request;
  requests.emplace(live.spec.id, std::move(request));
  for (size_t i = 0; i < live.choices.size(); ++i) {
    Choice& choice = *live.choices[i];
    if (choice.finished) continue;
    // Every prompt row's logits are wanted once, from the first choice.
    const bool scores_prompt = live.spec.prompt_logprobs && i == 0;
    sequences.emplace(choice.sequence, &choice);
    scheduler.add({.id = choice.sequence,
                   .tokens = &choice.tokens,
                   .max_chunk = scores_prompt ? kPromptLogprobRows : plan.limits.rows,
                   .reads_cache = !scores_prompt,
                   .cache_salt = live.spec.cache_salt,
                   .fairness_key = live.spec.fairness_key,
                   .priority = live.spec.priority,
                   .group = live.spec.id,
                   .shared_tokens = live.choices.size() > 1
                                        ? static_cast<int32_t>(live.spec.prompt.size())
                                        : 0});
  }
  finish_delivered(live);
}

/// A replayed choice may have been complete but for its FinishEvent.
void Engine::Impl::finish_delivered(LiveRequest& request) {
  if (request.spec.delivered.empty() || request.spec.max_tokens == 0) return;
  std::vector<Choice*> complete;
  for (const std::unique_ptr<Choice>& choice : request.choices)
    if (!choice->finished && choice->generated() >= request.spec.max_tokens)
      complete.push_back(choice.get());
  for (Choice* choice : complete) finish(*choice, FinishReason::kLength, false);
}

}  // namespace hearth
