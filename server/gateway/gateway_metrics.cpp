#include "server/gateway/gateway_metrics.h"

#include <algorithm>
#include <vector>

namespace hearth {
namespace {

using metrics::Counter;
using metrics::Family;
using metrics::Gauge;
using metrics::Histogram;
using metrics::Registry;

// Bounds that dashboards made for vLLM expect.
const std::vector<double> kFirstTokenSeconds = {0.001, 0.005, 0.01, 0.02,  0.04,  0.06,  0.08, 0.1,
                                                0.25,  0.5,   0.75, 1.0,   2.5,   5.0,   7.5,  10.0,
                                                20.0,  40.0,  80.0, 160.0, 640.0, 2560.0};
const std::vector<double> kInterTokenSeconds = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2,
                                                0.3,  0.4,   0.5,  0.75,  1.0, 2.5,  5.0,
                                                7.5,  10.0,  20.0, 40.0,  80.0};
const std::vector<double> kRequestSeconds = {0.3,  0.5,  0.8,  1.0,  1.5,   2.0,   2.5,
                                             5.0,  10.0, 15.0, 20.0, 30.0,  40.0,  50.0,
                                             60.0, 120., 240., 480., 960.0, 1920., 7680.0};
const std::vector<double> kChoices = {1, 2, 5, 10, 20};
const std::vector<double> kStepTokens = {1,   8,    16,   32,   64,   128,  256,
                                         512, 1024, 2048, 4096, 8192, 16384};
/// Most requests have none of the major ones.
const std::vector<double> kFaults = {
    0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10'000, 30'000, 100'000, 300'000, 1'000'000, 3'000'000};
/// Up to the longest contexts in use.
const std::vector<double> kTokens = metrics::one_two_five(1'000'000);

}  // namespace

/// The families, each made once; only needed while the workers' series are made.
class MetricFamilies {
 public:
  MetricFamilies(Registry& registry, const std::string& model)
      : registry_(registry), model_(model) {}

  Counter& counter(const char* name, const char* help, const std::string& worker) {
    return find(counters_, name, [&] { return &registry_.counter(name, help, kLabels); })
        .with({model_, worker});
  }
  Gauge& gauge(const char* name, const char* help, const std::string& worker) {
    return find(gauges_, name, [&] { return &registry_.gauge(name, help, kLabels); })
        .with({model_, worker});
  }
  Histogram& histogram(const char* name, const char* help, const std::vector<double>& bounds,
                       const std::string& worker) {
    return find(histograms_, name,
                [&] { return &registry_.histogram(name, help, bounds, kLabels); })
        .with({model_, worker});
  }
  Counter& finished(const char* reason, const std::string& worker) {
    return find(counters_, "vllm:request_success_total",
                [&] {
                  return &registry_.counter("vllm:request_success_total",
                                            "Choices that ended, by reason.",
                                            {"model_name", "engine", "finished_reason"});
                })
        .with({model_, worker, reason});
  }
  Gauge& worker_gauge(const char* name, const char* help, const std::string& worker) {
    return find(gauges_, name, [&] { return &registry_.gauge(name, help, {"worker"}); })
        .with({worker});
  }
  Counter& worker_counter(const char* name, const char* help, const std::string& worker) {
    return find(counters_, name, [&] { return &registry_.counter(name, help, {"worker"}); })
        .with({worker});
  }

 private:
  template <typename M, typename Make>
  static Family<M>& find(std::map<std::string, Family<M>*>& known, const char* name, Make make) {
    auto [place, fresh] = known.try_emplace(name, nullptr);
    if (fresh) place->second = make();
    return *place->second;
  }

  const std::vector<std::string> kLabels{"model_name", "engine"};
  Registry& registry_;
  const std::string& model_;
  std::map<std::string, Family<Counter>*> counters_;
  std::map<std::string, Family<Gauge>*> gauges_;
  std::map<std::string, Family<Histogram>*> histograms_;
};

WorkerSeries::WorkerSeries(MetricFamilies& f, const std::string& w)
    : running(f.gauge("vllm:num_requests_running", "Sequences in the batch.", w)),
      waiting(f.gauge("vllm:num_requests_waiting", "Sequences that wait to be scheduled.", w)),
      kv_usage(f.gauge("vllm:kv_cache_usage_perc", "KV pages in use; 1 is all.", w)),
      kv_pages_cached(f.worker_gauge("hearth_worker_kv_pages_cached",
                                     "KV pages kept for prompts that begin alike.", w)),
      prompt_tokens(f.counter("vllm:prompt_tokens_total", "Prompt tokens processed.", w)),
      cached_tokens(f.counter("vllm:prompt_tokens_cached_total",
                              "Prompt tokens taken from the prefix cache.", w)),
      prefix_queries(f.counter("vllm:prefix_cache_queries_total",
                               "Prompt tokens looked up in the prefix cache.", w)),
      prefix_hits(
          f.counter("vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache.", w)),
      generation_tokens(f.counter("vllm:generation_tokens_total", "Tokens generated.", w)),
      preemptions(f.counter("vllm:num_preemptions_total", "Sequences preempted.", w)),
      finished_stop(f.finished("stop", w)),
      finished_length(f.finished("length", w)),
      finished_abort(f.finished("abort", w)),
      finished_error(f.finished("error", w)),
      time_to_first_token(f.histogram("vllm:time_to_first_token_seconds",
                                      "Time to the first token.", kFirstTokenSeconds, w)),
      inter_token(f.histogram("vllm:inter_token_latency_seconds",
                              "Time between the tokens of a choice.", kInterTokenSeconds, w)),
      end_to_end(f.histogram("vllm:e2e_request_latency_seconds", "Time from request to its end.",
                             kRequestSeconds, w)),
      queue_time(f.histogram("vllm:request_queue_time_seconds", "Time before the first batch.",
                             kRequestSeconds, w)),
      prefill_time(f.histogram("vllm:request_prefill_time_seconds",
                               "Time from the first batch to the first token.", kRequestSeconds,
                               w)),
      decode_time(f.histogram("vllm:request_decode_time_seconds",
                              "Time from the first token to the end.", kRequestSeconds, w)),
      inference_time(f.histogram("vllm:request_inference_time_seconds",
                                 "Time from the first batch to the end.", kRequestSeconds, w)),
      request_prompt_tokens(
          f.histogram("vllm:request_prompt_tokens", "Prompt tokens of a request.", kTokens, w)),
      request_generation_tokens(f.histogram("vllm:request_generation_tokens",
                                            "Tokens generated for a request.", kTokens, w)),
      params_n(f.histogram("vllm:request_params_n", "Choices asked for.", kChoices, w)),
      params_max_tokens(
          f.histogram("vllm:request_params_max_tokens", "Most tokens asked for.", kTokens, w)),
      iteration_tokens(
          f.histogram("vllm:iteration_tokens_total", "Tokens of a step.", kStepTokens, w)),
      request_major_faults(f.histogram(
          "hearth_request_major_page_faults",
          "Pages that the steps of a request waited for a disk for; others share these steps.",
          kFaults, w)),
      request_minor_faults(f.histogram(
          "hearth_request_minor_page_faults",
          "Pages in memory that the worker touched for the first time in the steps of a request.",
          kFaults, w)),
      up(f.worker_gauge("hearth_worker_up", "1 while the worker serves.", w)),
      restarts(f.worker_counter("hearth_worker_restarts_total", "Processes started again.", w)),
      hangs(f.worker_counter("hearth_worker_hangs_total",
                             "Processes given up because they made no progress.", w)),
      migrated(f.worker_counter("hearth_migrated_requests_total",
                                "Requests that went on elsewhere when the worker died.", w)),
      cancelled_requests(f.worker_counter("hearth_cancelled_requests_total",
                                          "Requests whose client went away.", w)),
      cancelled_sequences(f.worker_counter("hearth_cancelled_in_engine_total",
                                           "Cancelled requests that have left the batch.", w)),
      major_faults(f.worker_counter("hearth_worker_major_page_faults_total",
                                    "Pages that steps waited for a disk for.", w)),
      minor_faults(f.worker_counter("hearth_worker_minor_page_faults_total",
                                    "Pages in memory that steps touched for the first time.", w)),
      resident_bytes(f.worker_gauge("hearth_worker_resident_bytes",
                                    "Memory of the worker with the shared pages of the model.", w)),
      private_bytes(f.worker_gauge("hearth_worker_private_bytes",
                                   "Memory of the worker that it shares with nobody.", w)),
      weights_uploads(f.worker_counter("hearth_worker_weights_uploads_total",
                                       "Times that the worker brought weights to a GPU for all.",
                                       w)),
      weights_maps(f.worker_counter("hearth_worker_weights_maps_total",
                                    "Times that the worker was given weights that were on a GPU.",
                                    w)) {}

void WorkerSeries::update(const ipc::Stats& now, const ipc::Stats& before) {
  const EngineStats& engine = now.engine;
  running.set(engine.running);
  waiting.set(engine.waiting);
  const auto total = static_cast<double>(std::max<int64_t>(engine.kv_pages_total, 1));
  kv_usage.set(static_cast<double>(engine.kv_pages_used) / total);
  const auto growth = [](uint64_t to, uint64_t from) {
    return to > from ? static_cast<double>(to - from) : 0.0;
  };
  kv_pages_cached.set(static_cast<double>(engine.kv_pages_cached));
  preemptions.add(growth(engine.preemptions, before.engine.preemptions));
  cancelled_sequences.add(growth(engine.cancelled, before.engine.cancelled));
  major_faults.add(growth(engine.page_faults.major, before.engine.page_faults.major));
  minor_faults.add(growth(engine.page_faults.minor, before.engine.page_faults.minor));
  resident_bytes.set(static_cast<double>(now.resident_bytes));
  private_bytes.set(static_cast<double>(now.private_bytes));
}

GatewayMetrics::GatewayMetrics(Registry& registry, const std::string& model_name,
                               int32_t num_workers)
    : model_name_(model_name),
      cache_config_(registry.gauge(
          "vllm:cache_config_info", "The KV cache: tokens of a page, pages, element type.",
          {"model_name", "engine", "block_size", "num_gpu_blocks", "cache_dtype"})),
      rejected_(registry.counter("hearth_rejected_requests_total",
                                 "Requests that were not admitted.", {"reason"})),
      waiting_(registry
                   .gauge("hearth_waiting_requests",
                          "Requests that no worker has: none is ready, or they are tested alone.")
                   .with({})),
      shared_weights_bytes_(registry
                                .gauge("hearth_shared_weights_bytes",
                                       "Weights on GPUs, each counted once for all workers.")
                                .with({})) {
  MetricFamilies families(registry, model_name_);
  for (int32_t i = 0; i < num_workers; ++i) workers_.emplace_back(families, std::to_string(i));
}

void GatewayMetrics::set_cache_config(int32_t worker, const ipc::Ready& ready) {
  cache_config_
      .with({model_name_, std::to_string(worker), std::to_string(ready.page_tokens),
             std::to_string(ready.kv_pages), ready.kv_type})
      .set(1);
}

}  // namespace hearth
