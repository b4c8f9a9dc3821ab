#pragma once
// The engine: one model, its KV cache, and the sequences that run on it. The page to read first.
//
//   auto engine = Engine::load(options);     // maps the file, plans memory, touches no weight
//   engine->submit(request);                 // queue a request
//   while (engine->has_work()) {
//     engine->step();                        // one batch: decode rows and prompt chunks together
//     for (auto& event : engine->poll()) …   // tokens, ends, failures
//   }
//
// A library with verbs: no sockets, no JSON, no text. One thread owns an Engine.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/backend/device_list.h"
#include "engine/backend/gpu_layers.h"
#include "engine/backend/weights_exchange.h"
#include "engine/memory_plan.h"
#include "engine/request.h"
#include "kernels/device.h"
#include "kernels/dtype.h"

namespace hearth {

/// Sequences at once where the user names no number: enough to share each read of the weights
/// among many streams, few enough that a stream keeps a readable pace on a CPU.
inline constexpr int32_t kDefaultParallel = 16;
/// Prompt rows of one sequence in a step whose logits are all wanted (echo with logprobs).
inline constexpr int32_t kPromptLogprobRows = 8;

struct EngineOptions {
  std::filesystem::path model;
  std::string isa = "auto";    // kernel table: auto, ref, avx2, avx512, neon
  int32_t threads = 0;         // 0: one per CPU that this process may use
  int32_t context_tokens = 0;  // per sequence; 0: the model's own, as far as memory allows
  int32_t parallel = 0;        // most sequences in a step; 0: kDefaultParallel
  DType kv_type = DType::kF16;
  int32_t step_tokens = 512;        // most rows of one step
  int32_t prefill_chunk = 256;      // most prompt rows of one sequence in one step
  uint64_t memory_limit_bytes = 0;  // 0: what the machine and the cgroup have available
  GpuLayers gpu_layers;             // none
  DeviceList devices;               // the first GPU
  GpuSplit split;                   // of the layers among the devices: by free memory
  bool kv_offload = true;           // the KV cache of a GPU's layers is on the GPU
  /// Processes that share the GPUs' copies of the weights; 0: this one has copies of its own.
  int32_t gpu_sharers = 0;
  /// Of each device's memory, for all sharers together; empty: nine tenths of what is free.
  std::vector<uint64_t> gpu_budget_bytes;
  /// Where shared weights come from, and who hears how far an upload is. Used by load() alone.
  WeightsExchange* weights_exchange = nullptr;
  /// Opens a GPU by its number; empty: those of this machine. Tests bring their own.
  std::function<Result<std::unique_ptr<kernels::Device>>(int32_t index)> open_gpu;
  int32_t gpu_count = 1;   // that open_gpu has
  bool gpu_graphs = true;  // replay decode steps there; else launch each op: the bits are the same
  bool gpu_sampling =
      true;  // draw tokens where the logits are made; else on the CPU: the same ones
  /// Matmuls of many rows on GPUs may go through a library whose sums depend on the number of rows:
  /// the bits of an answer then depend on what else runs.
  bool fast_math_order = false;
  bool hash_logits = false;  // fill TokenEvent::logits_hash, for tests of equal bits
};

class Engine {
 public:
  static Result<std::unique_ptr<Engine>> load(const EngineOptions& options);
  ~Engine();

  /// Queues a request; its events come from poll(). A request that contradicts the model (token
  /// out of range, longer than the context) is refused here, naming the field.
  Status submit(GenerateRequest request);
  /// Ends a request; its pages are free before the next step. Unknown ids are ignored.
  void cancel(RequestId id);
  /// Ends one choice early, as a stop string does: no further token of it, and its FinishEvent
  /// comes with kStop. Choices that have ended and unknown ids are ignored.
  void stop_choice(RequestId id, int32_t choice);

  [[nodiscard]] bool has_work() const;
  /// Runs one batch. Call only if has_work().
  void step();
  /// Events since the last call, in order; those of one choice are in order of index.
  std::vector<EngineEvent> poll();
  /// Requests that entered their first batch since the last call (metrics).
  std::vector<QueueTime> take_queue_times();

  /// `call` is called in step(), on its thread, many times a step: a long step that goes on can be
  /// told from one that hangs. It must not call the engine.
  void on_progress(std::function<void()> call);

  [[nodiscard]] EngineStats stats() const;
  [[nodiscard]] const MemoryPlan& plan() const;
  /// For the log: "avx512 kernels, 2 threads".
  [[nodiscard]] std::string kernels() const;

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hearth
