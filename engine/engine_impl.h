#pragma once
// The engine's parts and the order of a step. Included by engine*.cpp only.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/engine.h"
#include "engine/forward/batch.h"
#include "engine/forward/forward_pass.h"
#include "engine/kv_cache/kv_cache.h"
#include "engine/live_request.h"
#include "engine/model/model.h"
#include "engine/prefill_pacer.h"
#include "engine/scheduler/scheduler.h"
#include "kernels/cpu/thread_pool.h"

namespace hearth {

struct Engine::Impl {
  Impl(std::unique_ptr<Model> m, std::vector<std::unique_ptr<kernels::Device>> gpus,
       const MemoryPlan& p, std::unique_ptr<kernels::ThreadPool> threads, KvCache cache,
       ForwardPass pass, const SchedulerOptions& scheduling)
      : model(std::move(m)),
        devices(std::move(gpus)),
        plan(p),
        pool(std::move(threads)),
        kv(std::move(cache)),
        forward(std::move(pass)),
        scheduler(scheduling),
        pacer(scheduling.prefill_chunk),
        workspaces(static_cast<size_t>(pool->num_threads())) {}

  Status validate(const GenerateRequest& request) const;
  void submit(GenerateRequest request);
  [[nodiscard]] int32_t cached_prompt_tokens(const Choice& choice) const;
  void finish_delivered(LiveRequest& request);
  void step();
  void finish(Choice& choice, FinishReason reason, bool counts_stop_token);
  void fail_request(RequestId id, Error error);
  /// Drops every trace of a request.
  void end(RequestId id);

  // The parts of a step, in order.
  void build_batch(std::span<const ScheduledRows> rows);
  void plan_draws();
  void note_started(const Choice& choice);
  void note_page_faults(std::span<const ScheduledRows> rows, const PageFaults& faults);
  void sample();
  void deliver_prompt_logprobs();
  void deliver_tokens();

  /// A sequence of this step whose next token is to be drawn from logits row `logit_row`.
  struct Draw {
    SequenceId sequence;
    Choice* choice;
    size_t logit_row;
    Result<SampledToken> token;
    int32_t on_device = -1;  // the draw's index in the device's sampler; -1: the CPU draws
    uint64_t logits_hash = 0;
  };
  /// Logits row `logit_row` predicts prompt token `index` of `choice`'s request.
  struct PromptRow {
    SequenceId sequence;
    Choice* choice;
    int32_t index;
    size_t logit_row;
  };

  std::unique_ptr<Model> model;
  std::vector<std::unique_ptr<kernels::Device>> devices;  // with layers, in order of these
  MemoryPlan plan;
  std::unique_ptr<kernels::ThreadPool> pool;
  KvCache kv;
  ForwardPass forward;
  Scheduler scheduler;
  PrefillPacer pacer;
  std::vector<SamplerWorkspace> workspaces;     // one for each thread of the pool
  std::optional<DeviceSampler> device_sampler;  // where the device makes the logits
  LogitUse logit_use;                           // of this step

  std::unordered_map<RequestId, std::unique_ptr<LiveRequest>> requests;
  std::unordered_map<SequenceId, Choice*> sequences;
  SequenceId next_sequence = 1;
  Batch batch;
  std::vector<Draw> draws;
  std::vector<PromptRow> prompt_rows;
  std::vector<EngineEvent> events;
  std::vector<QueueTime> queue_times;
  EngineStats stats;
  std::function<void()> progress;  // what on_progress() was given
  std::string kernels;             // what Engine::kernels() says
  bool hash_logits = false;
};

}  // namespace hearth
