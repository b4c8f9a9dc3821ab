// The prefix cache through the engine: what is saved, for whom, and that no bit changes.

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/engine/support_engine.h"

namespace hearth {
namespace {

using namespace testing;

EngineOptions hashing_options() {
  EngineOptions options = small_options();
  options.hash_logits = true;
  return options;
}

}  // namespace

TEST_CASE("the same prompt again computes less than a page, with the same bits") {
  auto engine = load(hashing_options());
  GenerateRequest request = make_request(1, 100, 20);
  const Run first = run_all(*engine, {request});
  CHECK(first.cached.at({1, 0}) == 0);
  CHECK(engine->stats().prompt_tokens == 100);
  CHECK(engine->stats().kv_pages_cached == 3);  // 119 tokens were inputs
  const Run second = run_all(*engine, {request});
  CHECK(second.answers == first.answers);
  CHECK(second.cached.at({1, 0}) == 96);
  CHECK(engine->stats().prompt_tokens == 104);
  CHECK(engine->stats().prefix_cache_queries_tokens == 200);
  CHECK(engine->stats().prefix_cache_hits_tokens == 96);
}

TEST_CASE("logits are hashed when asked for, and the hash tells rows apart") {
  GenerateRequest request = make_request(1, 10, 8);
  const Answer plain = run_alone(small_options(), request);
  CHECK(std::ranges::count(plain.logits, 0) == 8);
  const Answer hashed = run_alone(hashing_options(), request);
  CHECK(hashed.tokens == plain.tokens);
  auto distinct = hashed.logits;
  std::ranges::sort(distinct);
  CHECK(std::ranges::adjacent_find(distinct) == distinct.end());
  // The model's own logits, whatever the request does to them afterwards.
  request.sampling.logit_bias = {{hashed.tokens[0], 5.0F}};
  CHECK(run_alone(hashing_options(), request).logits[0] == hashed.logits[0]);
}

TEST_CASE("a chat's next turn takes its own answer from the cache too") {
  auto engine = load(hashing_options());
  GenerateRequest turn = make_request(1, 50, 60);
  const Answer answer = run(*engine, {turn}).at({1, 0});
  GenerateRequest next = make_request(2, 0, 10);
  next.prompt = turn.prompt;
  next.prompt.insert(next.prompt.end(), answer.tokens.begin(), answer.tokens.end());
  next.prompt.insert(next.prompt.end(), {5, 6, 7});
  const uint64_t before = engine->stats().prompt_tokens;
  const Run warm = run_all(*engine, {next});
  CHECK(warm.cached.at({2, 0}) == 96);  // of 50 + 60 tokens
  CHECK(engine->stats().prompt_tokens - before == 113 - 96);
  CHECK(warm.answers.at({2, 0}) == run_alone(hashing_options(), next));
}

TEST_CASE("another salt finds nothing, nor does a request whose prompt is scored") {
  auto engine = load(small_options());
  GenerateRequest request = make_request(1, 70, 4);
  request.cache_salt = 11;
  run(*engine, {request});
  GenerateRequest other = request;
  other.cache_salt = 12;
  CHECK(run_all(*engine, {other}).cached.at({1, 0}) == 0);
  GenerateRequest scored = request;
  scored.prompt_logprobs = true;
  CHECK(run_all(*engine, {scored}).cached.at({1, 0}) == 0);
  CHECK(run_all(*engine, {request}).cached.at({1, 0}) == 64);
}

TEST_CASE("n = 4 computes the prompt once and answers as four requests would") {
  GenerateRequest request = make_request(1, 75, 12);
  request.num_choices = 4;
  auto engine = load(hashing_options());
  const Run together = run_all(*engine, {request});
  CHECK(engine->stats().prompt_tokens == 75 + 3);
  CHECK(together.cached.at({1, 0}) == 0);

  // Alone: as the only open choice of a replay on a fresh engine.
  for (int32_t choice = 0; choice < 4; ++choice) {
    GenerateRequest single = request;
    single.finished = {1, 1, 1, 1};
    single.finished[static_cast<size_t>(choice)] = 0;
    auto fresh = load(hashing_options());
    CHECK(run(*fresh, {single}).at({1, choice}) == together.answers.at({1, choice}));
  }
}

TEST_CASE("n = 4 with a scored prompt scores it once and shares its pages") {
  GenerateRequest request = make_request(1, 75, 6);
  request.num_choices = 4;
  const Answers plain = run(*load(hashing_options()), {request});
  request.prompt_logprobs = true;
  auto engine = load(hashing_options());
  CHECK(run(*engine, {request}) == plain);
  CHECK(engine->stats().prompt_tokens == 75 + 3);
}

TEST_CASE("a crowded pool forgets, preempts, finds again, and changes no bit") {
  std::vector<GenerateRequest> requests;
  for (RequestId id = 1; id <= 12; ++id) {
    requests.push_back(make_request(id % 3, 70, 50));  // three beginnings
    requests.back().id = id;
    requests.back().prompt.push_back(static_cast<int32_t>(id));
    requests.back().fairness_key = "user" + std::to_string(id % 2);
    requests.back().num_choices = id == 5 ? 3 : 1;
  }
  EngineOptions options = hashing_options();
  Answers expected;
  for (const GenerateRequest& request : requests) expected.merge(run(*load(options), {request}));
  options.context_tokens = 0;  // open: the pool shrinks to what the limit leaves
  options.memory_limit_bytes = load(hashing_options())->plan().activation_bytes * 2;
  auto tight = load(options);
  for (int round = 0; round < 3; ++round) CHECK(run(*tight, requests) == expected);
  const EngineStats stats = tight->stats();
  MESSAGE(stats.kv_pages_total, " pages, ", stats.preemptions, " preemptions, ",
          stats.prefix_cache_hits_tokens, " of ", stats.prefix_cache_queries_tokens,
          " tokens from the cache");
  CHECK(stats.preemptions > 0);
  CHECK(stats.prefix_cache_hits_tokens > 0);
}

}  // namespace hearth
