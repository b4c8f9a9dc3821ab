#pragma once
// The series that the gateway keeps, under the names, types and meanings that vLLM made common.
// `engine` is the worker's index. Times are taken by the gateway's monotonic clock: they hold what
// a client waits for, the way between the processes included.

#include <cstdint>
#include <deque>
#include <string>

#include "base/clock.h"
#include "engine/request.h"
#include "server/ipc/messages.h"
#include "server/metrics/registry.h"

namespace hearth {

class MetricFamilies;

/// All series of one worker.
struct WorkerSeries {
  WorkerSeries(MetricFamilies& families, const std::string& worker);

  metrics::Gauge& running;
  metrics::Gauge& waiting;
  metrics::Gauge& kv_usage;
  metrics::Gauge& kv_pages_cached;
  metrics::Counter& prompt_tokens;
  metrics::Counter& cached_tokens;
  metrics::Counter& prefix_queries;
  metrics::Counter& prefix_hits;
  metrics::Counter& generation_tokens;
  metrics::Counter& preemptions;
  metrics::Counter& finished_stop;
  metrics::Counter& finished_length;
  metrics::Counter& finished_abort;
  metrics::Counter& finished_error;
  metrics::Histogram& time_to_first_token;
  metrics::Histogram& inter_token;
  metrics::Histogram& end_to_end;
  metrics::Histogram& queue_time;
  metrics::Histogram& prefill_time;
  metrics::Histogram& decode_time;
  metrics::Histogram& inference_time;
  metrics::Histogram& request_prompt_tokens;
  metrics::Histogram& request_generation_tokens;
  metrics::Histogram& params_n;
  metrics::Histogram& params_max_tokens;
  metrics::Histogram& iteration_tokens;
  metrics::Histogram& request_major_faults;
  metrics::Histogram& request_minor_faults;
  metrics::Gauge& up;
  metrics::Counter& restarts;
  metrics::Counter& hangs;
  metrics::Counter& migrated;
  metrics::Counter& cancelled_requests;
  metrics::Counter& cancelled_sequences;
  metrics::Counter& major_faults;
  metrics::Counter& minor_faults;
  metrics::Gauge& resident_bytes;
  metrics::Gauge& private_bytes;
  metrics::Counter& weights_uploads;
  metrics::Counter& weights_maps;

  /// Sets gauges, and adds what the engine's totals have grown by since `before`.
  void update(const ipc::Stats& now, const ipc::Stats& before);
};

/// Owns nothing but references into the registry.
class GatewayMetrics {
 public:
  GatewayMetrics(metrics::Registry& registry, const std::string& model_name, int32_t num_workers);

  WorkerSeries& worker(int32_t index) { return workers_[static_cast<size_t>(index)]; }
  /// The info series of a worker's cache, once it is known.
  void set_cache_config(int32_t worker, const ipc::Ready& ready);
  /// Requests that no worker has yet, or again.
  metrics::Gauge& waiting() { return waiting_; }
  /// Weights on GPUs that the gateway holds for the workers.
  metrics::Gauge& shared_weights_bytes() { return shared_weights_bytes_; }
  metrics::Counter& rejected(const std::string& reason) { return rejected_.with({reason}); }

 private:
  const std::string model_name_;
  metrics::Family<metrics::Gauge>& cache_config_;
  metrics::Family<metrics::Counter>& rejected_;
  metrics::Gauge& waiting_;
  metrics::Gauge& shared_weights_bytes_;
  std::deque<WorkerSeries> workers_;
};

}  // namespace hearth
