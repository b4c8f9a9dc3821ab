// One step of the engine: schedule, build the batch, run the model, sample, deliver.

#include <algorithm>
#include <bit>
#include <chrono>
#include <utility>

#include "engine/engine_impl.h"

namespace hearth {

namespace {

/// FNV-1a (Fowler, Noll, Vo) over the bits of a row, value by value.
uint64_t hash_bits(std::span<const float> row) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const float value : row) hash = (hash ^ std::bit_cast<uint32_t>(value)) * 0x100000001b3ULL;
  return hash;
}

/// Rows of a step that belong to streams (one row each) and to prompts.
struct RowKinds {
  int32_t decode = 0;
  int32_t prefill = 0;
};

RowKinds count_kinds(std::span<const ScheduledRows> rows) {
  RowKinds kinds;
  for (const ScheduledRows& scheduled : rows) {
    const bool decodes = scheduled.row_count == 1 && scheduled.samples;
    (decodes ? kinds.decode : kinds.prefill) += scheduled.row_count;
  }
  return kinds;
}

}  // namespace

void Engine::Impl::step() {
  const auto begin = std::chrono::steady_clock::now();
  const std::span<const ScheduledRows> rows =
      scheduler.schedule(pacer.prefill_rows(scheduler.decodes(), scheduler.prompts()));
  const RowKinds kinds = count_kinds(rows);
  for (const PageCopy& copy : scheduler.page_copies()) kv.copy_page(copy.from, copy.to);
  build_batch(rows);
  plan_draws();
  const PageFaults faults_before = page_faults_of_this_process();
  forward.run({.pool = pool.get()}, batch, kv, progress, logit_use);
  ++stats.steps;
  note_page_faults(rows, page_faults_of_this_process() - faults_before);
  scheduler.complete();
  sample();
  deliver_prompt_logprobs();
  deliver_tokens();
  pacer.observe(kinds.decode, kinds.prefill, std::chrono::steady_clock::now() - begin);
}

void Engine::Impl::build_batch(std::span<const ScheduledRows> rows) {
  batch.clear();
  draws.clear();
  prompt_rows.clear();
  for (const ScheduledRows& scheduled : rows) {
    Choice& choice = *sequences.at(scheduled.sequence);
    const LiveRequest& request = *choice.request;
    note_started(choice);
    const auto prompt_size = static_cast<int32_t>(request.spec.prompt.size());
    const int32_t end = scheduled.first_position + scheduled.row_count;
    const bool scores_prompt = request.spec.prompt_logprobs && choice.index == 0;
    batch.begin_sequence(scheduled.first_position, scheduler.pages(scheduled.sequence).data());
    for (int32_t position = scheduled.first_position; position < end; ++position) {
      // The row of token i predicts token i + 1.
      const bool scored = scores_prompt && position + 1 < prompt_size &&
                          position + 1 >= request.next_prompt_logprob;
      const bool drawn = scheduled.samples && position + 1 == end;
      if (scored)
        prompt_rows.push_back({choice.sequence, &choice, position + 1, batch.logit_rows.size()});
      if (drawn)
        draws.push_back({choice.sequence, &choice, batch.logit_rows.size(), SampledToken{}});
      batch.push(choice.tokens[static_cast<size_t>(position)], scored || drawn);
    }
    stats.prompt_tokens += static_cast<uint64_t>(
        std::clamp(prompt_size - scheduled.first_position, 0, scheduled.row_count));
  }
}

void Engine::Impl::note_started(const Choice& choice) {
  LiveRequest& request = *choice.request;
  if (request.started) return;
  request.started = true;
  const auto waited = std::chrono::steady_clock::now() - request.submitted;
  queue_times.push_back({.request = request.spec.id,
                         .waited_ns = static_cast<uint64_t>(
                             std::chrono::duration_cast<std::chrono::nanoseconds>(waited).count()),
                         .cached_prompt_tokens = cached_prompt_tokens(choice)});
}

/// Who shares a step waits for all of its faults. A request with several choices counts them once.
void Engine::Impl::note_page_faults(std::span<const ScheduledRows> rows, const PageFaults& faults) {
  stats.page_faults += faults;
  for (const ScheduledRows& scheduled : rows) {
    LiveRequest& request = *sequences.at(scheduled.sequence)->request;
    if (std::exchange(request.faults_step, stats.steps) != stats.steps)
      request.page_faults += faults;
  }
}

/// A replayed choice may find tokens behind its prompt too: these are not the prompt's.
int32_t Engine::Impl::cached_prompt_tokens(const Choice& choice) const {
  return std::min(scheduler.cached_tokens(choice.sequence),
                  static_cast<int32_t>(choice.request->spec.prompt.size()));
}

/// Which draws the device makes, and which logits come to the host.
void Engine::Impl::plan_draws() {
  if (!device_sampler) return;  // all of them
  device_sampler->begin_step();
  logit_use.to_host.clear();
  for (Draw& draw : draws) {
    if (draw.choice->request->spec.max_tokens == 0) continue;
    draw.on_device = device_sampler->add(draw.sequence, *draw.choice->sampler,
                                         draw.choice->generated(), draw.logit_row);
    if (draw.on_device < 0) logit_use.to_host.push_back(draw.logit_row);
  }
  for (const PromptRow& row : prompt_rows) logit_use.to_host.push_back(row.logit_row);
  std::ranges::sort(logit_use.to_host);
  logit_use.all_to_host = hash_logits;
  logit_use.sampler = device_sampler->empty() ? nullptr : &*device_sampler;
}

/// Draws are independent of each other: the threads share them.
void Engine::Impl::sample() {
  pool->run([this](int thread, int threads) {
    for (size_t i = static_cast<size_t>(thread); i < draws.size();
         i += static_cast<size_t>(threads)) {
      Draw& draw = draws[i];
      if (draw.choice->request->spec.max_tokens == 0) continue;  // only the prompt was asked for
      if (hash_logits) draw.logits_hash = hash_bits(forward.logits(draw.logit_row));
      if (draw.on_device >= 0) {
        draw.token = device_sampler->token(draw.on_device, *draw.choice->sampler);
        continue;
      }
      draw.token =
          draw.choice->sampler->sample(forward.logits(draw.logit_row), draw.choice->generated(),
                                       workspaces[static_cast<size_t>(thread)]);
    }
  });
}

void Engine::Impl::deliver_prompt_logprobs() {
  for (const PromptRow& row : prompt_rows) {
    if (!sequences.contains(row.sequence)) continue;  // the request failed at an earlier row
    LiveRequest& request = *row.choice->request;
    const int32_t token = request.spec.prompt[static_cast<size_t>(row.index)];
    const std::span<float> logits = forward.logits(row.logit_row);
    if (!sanitize_logits(logits)) {
      fail_request(request.spec.id,
                   {ErrorCode::kInternal, "the model computed no usable logits", {}});
      continue;
    }
    Logprobs scored =
        compute_logprobs(logits, token, std::max(request.spec.sampling.num_logprobs, 0));
    events.emplace_back(PromptLogprobEvent{.request = request.spec.id,
                                           .index = row.index,
                                           .logprob = scored.logprob,
                                           .top_logprobs = std::move(scored.top)});
    request.next_prompt_logprob = row.index + 1;
  }
}

void Engine::Impl::deliver_tokens() {
  for (Draw& draw : draws) {
    // A failure of one choice ends the request, and with it the choices behind it in this step.
    if (!sequences.contains(draw.sequence)) continue;
    Choice& choice = *draw.choice;
    LiveRequest& request = *choice.request;
    if (request.spec.max_tokens == 0) {
      finish(choice, FinishReason::kLength, false);
      continue;
    }
    if (!draw.token.has_value()) {
      fail_request(request.spec.id, std::move(draw.token).error());
      continue;
    }
    ++stats.generated_tokens;
    if (request.stop_tokens.contains(draw.token->token)) {
      finish(choice, FinishReason::kStop, true);
      continue;
    }
    events.emplace_back(TokenEvent{.request = request.spec.id,
                                   .choice = choice.index,
                                   .index = choice.generated(),
                                   .token = draw.token->token,
                                   .logprob = draw.token->logprob,
                                   .top_logprobs = std::move(draw.token->top_logprobs),
                                   .logits_hash = draw.logits_hash});
    choice.tokens.push_back(draw.token->token);
    choice.sampler->accept(draw.token->token);
    if (choice.generated() >= request.spec.max_tokens) {
      finish(choice, FinishReason::kLength, false);
    } else {
      scheduler.append_token(choice.sequence);
    }
  }
}

void Engine::Impl::finish(Choice& choice, FinishReason reason, bool counts_stop_token) {
  LiveRequest& request = *choice.request;
  events.emplace_back(
      FinishEvent{.request = request.spec.id,
                  .choice = choice.index,
                  .reason = reason,
                  .completion_tokens = choice.generated() + (counts_stop_token ? 1 : 0),
                  .cached_prompt_tokens = cached_prompt_tokens(choice),
                  .page_faults = request.page_faults});
  choice.finished = true;
  scheduler.remove(choice.sequence);
  sequences.erase(choice.sequence);
  if (--request.unfinished == 0) end(request.spec.id);
}

void Engine::Impl::fail_request(RequestId id, Error error) {
  events.emplace_back(
      FailEvent{.request = id, .code = error.code, .message = std::move(error.message)});
  end(id);
}

void Engine::Impl::end(RequestId id) {
  const auto it = requests.find(id);
  for (const std::unique_ptr<Choice>& choice : it->second->choices) {
    scheduler.remove(choice->sequence);
    sequences.erase(choice->sequence);
  }
  requests.erase(it);
}

}  // namespace hearth
