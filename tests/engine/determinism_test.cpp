// Rule 3: same request, same bits. Tokens, log-probabilities and the hash of all logits of every
// request are compared between a run alone and runs in batches of all sizes, prompt chunks of all
// sizes, numbers of threads, and with a cold and a warm prefix cache; for each type of weights.

#include <doctest/doctest.h>

#include "tests/engine/support_engine.h"

namespace hearth {
namespace {

using namespace testing;

constexpr size_t kLargestBatch = 64;

struct ModelKind {
  std::string arch;
  std::string type;
};

EngineOptions crowd_options(const ModelKind& model, int32_t threads, int32_t chunk) {
  EngineOptions options;
  options.model = tiny_model(model.arch, model.type);
  options.context_tokens = 96;
  options.parallel = kLargestBatch;
  options.threads = threads;
  options.prefill_chunk = chunk;
  options.hash_logits = true;
  return options;
}

/// Requests of all kinds; prompts of 1 to 74 tokens.
std::vector<GenerateRequest> make_requests() {
  std::vector<GenerateRequest> requests;
  for (RequestId id = 1; id <= kLargestBatch; ++id) {
    GenerateRequest request =
        make_request(id, static_cast<int32_t>(1 + id * 37 % 74), static_cast<int32_t>(3 + id % 3));
    if (id % 4 == 1) request.sampling.temperature = 0.0F;
    if (id % 4 == 2) request.sampling.top_p = 0.9F;
    if (id % 4 == 3) request.sampling.frequency_penalty = 1.0F;
    request.sampling.num_logprobs = static_cast<int32_t>(id % 3);
    requests.push_back(std::move(request));
  }
  return requests;
}

/// Each request by itself, computed in full.
Answers run_each_alone(const ModelKind& model, const std::vector<GenerateRequest>& requests) {
  auto engine = load(crowd_options(model, 1, 512));
  Answers answers;
  for (GenerateRequest request : requests) {
    request.cache_salt = request.id;  // prompts must not find each other's pages
    answers.merge(run(*engine, {request}));
  }
  CHECK(engine->stats().prefix_cache_hits_tokens == 0);
  return answers;
}

/// Batches of all sizes on one engine, each twice: the second time prompts come from the cache.
void compare_batches(Engine& engine, std::vector<GenerateRequest> requests, const Answers& alone) {
  for (const size_t size : {size_t{1}, size_t{2}, size_t{8}, size_t{33}, kLargestBatch}) {
    CAPTURE(size);
    std::vector<GenerateRequest> batch(requests.end() - static_cast<ptrdiff_t>(size),
                                       requests.end());
    Answers expected;
    for (GenerateRequest& request : batch) {
      request.cache_salt = size;
      expected[{request.id, 0}] = alone.at({request.id, 0});
    }
    for (const bool warm : {false, true}) {
      CAPTURE(warm);
      const Run done = run_all(engine, batch);
      CHECK(done.answers == expected);
      for (const GenerateRequest& request : batch) {
        const auto pages = static_cast<int32_t>((request.prompt.size() - 1) / 32);
        REQUIRE(done.cached.at({request.id, 0}) == (warm ? pages * 32 : 0));
      }
    }
  }
}

void compare_crowds(const ModelKind& model, const std::vector<int32_t>& chunks) {
  CAPTURE(model.arch);
  CAPTURE(model.type);
  const std::vector<GenerateRequest> requests = make_requests();
  const Answers alone = run_each_alone(model, requests);
  for (const int32_t threads : {1, 2}) {
    for (const int32_t chunk : chunks) {
      CAPTURE(threads);
      CAPTURE(chunk);
      auto engine = load(crowd_options(model, threads, chunk));
      compare_batches(*engine, requests, alone);
    }
  }
}

}  // namespace

TEST_CASE("same request, same bits: batch, chunks, threads, cache, weights of every kind") {
  for (const char* type :
       {"f32", "f16", "q8_0", "q4_0", "q4_k_m", "q6_k", "iq4_nl", "mxfp4", "iq3_s"})
    compare_crowds({"llama", type}, {1, 7, 64, 512});
}

TEST_CASE("same request, same bits: experts, norms, windows, soft caps and sinks") {
  for (const ModelKind& model :
       {ModelKind{"mixtral", "q8_0"}, ModelKind{"qwen3moe", "f32"}, ModelKind{"gpt-oss", "q4_0"},
        ModelKind{"falcon40b", "f32"}, ModelKind{"gpt2", "q8_0"}, ModelKind{"gemma2", "f32"},
        ModelKind{"gemma3", "q4_1"}, ModelKind{"command-r", "f16"}, ModelKind{"llama4", "q8_0"}})
    compare_crowds(model, {1, 7, 512});
}

}  // namespace hearth
