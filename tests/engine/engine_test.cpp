#include "engine/engine.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "tests/engine/support_engine.h"

namespace hearth {
namespace {

using namespace testing;

}  // namespace

TEST_CASE("a request ends at max_tokens with its tokens in order") {
  const Answer answer = run_alone(small_options(), make_request(1));
  CHECK(answer.tokens.size() == 12);
  CHECK(answer.reason == FinishReason::kLength);
  CHECK(answer.completion_tokens == 12);
  CHECK(std::ranges::all_of(answer.logprobs, [](float p) { return p <= 0.0F; }));
}

TEST_CASE("same request, same bits: alone, in a batch, any chunk size, any thread count") {
  const std::vector<std::pair<const char*, const char*>> models = {{"llama", "f32"},
                                                                   {"llama3", "f16"},
                                                                   {"qwen2", "q8_0"},
                                                                   {"qwen3", "q4_k_m"},
                                                                   {"mistral", "q4_0"}};
  for (const auto& [arch, type] : models) {
    CAPTURE(arch);
    CAPTURE(type);
    EngineOptions options = small_options();
    options.model = tiny_model(arch, type);
    std::vector<GenerateRequest> requests;
    for (RequestId id = 1; id <= 7; ++id)
      requests.push_back(make_request(id, static_cast<int32_t>(id) * 9, 10));
    requests[2].sampling.temperature = 0.0F;
    requests[3].sampling.top_k = 20;
    requests[4].sampling.frequency_penalty = 1.5F;

    Answers alone;
    for (const GenerateRequest& request : requests)
      alone[{request.id, 0}] = run_alone(options, request);
    for (const int32_t chunk : {1, 7, 64}) {
      for (const int32_t threads : {1, 2, 3}) {
        CAPTURE(chunk);
        CAPTURE(threads);
        options.prefill_chunk = chunk;
        options.threads = threads;
        auto engine = load(options);
        CHECK(run(*engine, requests) == alone);
      }
    }
  }
}

TEST_CASE("preemption and recompute change no answer") {
  std::vector<GenerateRequest> requests;
  for (RequestId id = 1; id <= 6; ++id) requests.push_back(make_request(id, 40, 60));
  EngineOptions options = small_options();
  auto roomy = load(options);
  const Answers expected = run(*roomy, requests);
  CHECK(roomy->stats().preemptions == 0);

  options.context_tokens = 0;  // open: the pool shrinks to what the limit leaves
  options.memory_limit_bytes = roomy->plan().activation_bytes * 2;
  auto tight = load(options);
  MESSAGE("pool of ", tight->plan().kv_pages, " pages");
  REQUIRE(tight->plan().kv_pages < 6 * 4);
  CHECK(run(*tight, requests) == expected);
  CHECK(tight->stats().preemptions > 0);
}

TEST_CASE("replay: delivered tokens are continued with the very token that would have come") {
  GenerateRequest request = make_request(1, 20, 16);
  request.num_choices = 3;
  request.sampling.presence_penalty = 0.7F;
  auto engine = load(small_options());
  const Answers whole = run(*engine, {request});
  for (const size_t cut : {size_t{0}, size_t{1}, size_t{9}, size_t{16}}) {
    CAPTURE(cut);
    GenerateRequest replay = request;
    for (int32_t choice = 0; choice < 3; ++choice) {
      const auto& tokens = whole.at({1, choice}).tokens;
      // The choices had come differently far.
      const size_t delivered = std::min(tokens.size(), cut + static_cast<size_t>(choice));
      replay.delivered.emplace_back(tokens.begin(),
                                    tokens.begin() + static_cast<ptrdiff_t>(delivered));
    }
    auto fresh = load(small_options());
    REQUIRE(fresh->submit(replay).has_value());
    std::map<int32_t, std::vector<int32_t>> tokens;
    std::map<int32_t, int32_t> ends;
    for (int32_t choice = 0; choice < 3; ++choice)
      tokens[choice] = replay.delivered[static_cast<size_t>(choice)];
    const auto take = [&] {
      for (const EngineEvent& event : fresh->poll()) {
        if (const auto* token = std::get_if<TokenEvent>(&event)) {
          CHECK(token->index == static_cast<int32_t>(tokens[token->choice].size()));
          tokens[token->choice].push_back(token->token);
        }
        if (const auto* finish = std::get_if<FinishEvent>(&event))
          ends[finish->choice] = finish->completion_tokens;
      }
    };
    while (fresh->has_work()) {
      fresh->step();
      take();
    }
    take();
    for (int32_t choice = 0; choice < 3; ++choice) {
      CHECK(tokens[choice] == whole.at({1, choice}).tokens);
      CHECK(ends[choice] == 16);
    }
  }
}

TEST_CASE("replay: a choice that was finished is not generated again") {
  GenerateRequest request = make_request(1, 20, 16);
  request.num_choices = 3;
  auto engine = load(small_options());
  const Answers whole = run(*engine, {request});
  // Choice 0 ended by a stop string after three tokens, choice 2 by its length.
  request.delivered = {whole.at({1, 0}).tokens, {}, whole.at({1, 2}).tokens};
  request.delivered[0].resize(3);
  request.finished = {1, 0, 1};
  const Answers rest = run(*engine, {request});
  CHECK(rest == Answers{{{1, 1}, whole.at({1, 1})}});
}

TEST_CASE("choices of one request differ, by their index alone") {
  GenerateRequest request = make_request(1);
  request.num_choices = 2;
  auto engine = load(small_options());
  const Answers both = run(*engine, {request});
  CHECK(both.at({1, 0}).tokens != both.at({1, 1}).tokens);
  CHECK(both.at({1, 0}) == run_alone(small_options(), make_request(1)));
}

TEST_CASE("a stop token ends the choice and is counted, not delivered") {
  const Answer full = run_alone(small_options(), make_request(1));
  GenerateRequest request = make_request(1);
  request.stop_tokens = {full.tokens[4]};
  const auto first = std::ranges::find(full.tokens, full.tokens[4]) - full.tokens.begin();
  const Answer answer = run_alone(small_options(), request);
  CHECK(answer.reason == FinishReason::kStop);
  CHECK(answer.tokens == std::vector(full.tokens.begin(), full.tokens.begin() + first));
  CHECK(answer.completion_tokens == first + 1);
}

TEST_CASE("cancel and stop_choice free pages at once and are silent or final") {
  auto engine = load(small_options());
  GenerateRequest request = make_request(1, 40, 100);
  request.num_choices = 2;
  REQUIRE(engine->submit(request).has_value());
  engine->step();
  const int64_t used = engine->stats().kv_pages_used;
  engine->stop_choice(1, 0);
  CHECK(engine->stats().kv_pages_used < used);
  const auto events = engine->poll();
  REQUIRE(std::holds_alternative<FinishEvent>(events.back()));
  CHECK(std::get<FinishEvent>(events.back()).reason == FinishReason::kStop);
  engine->cancel(1);
  CHECK(engine->stats().kv_pages_used == 0);
  CHECK_FALSE(engine->has_work());
  CHECK(engine->poll().empty());
  engine->cancel(1);          // unknown by now
  engine->stop_choice(7, 0);  // never known
}

TEST_CASE("prompt log-probabilities come once per token, in order, whatever the chunks") {
  GenerateRequest request = make_request(1, 30, 1);
  request.prompt_logprobs = true;
  request.num_choices = 2;
  request.sampling.num_logprobs = 3;
  std::vector<float> first;
  for (const int32_t chunk : {1, 5, 256}) {
    EngineOptions options = small_options();
    options.prefill_chunk = chunk;
    auto engine = load(options);
    REQUIRE(engine->submit(request).has_value());
    std::vector<float> scores;
    while (engine->has_work()) {
      engine->step();
      for (const EngineEvent& event : engine->poll()) {
        const auto* scored = std::get_if<PromptLogprobEvent>(&event);
        if (scored == nullptr) continue;
        CHECK(scored->index == static_cast<int32_t>(scores.size()) + 1);
        CHECK(scored->top_logprobs.size() == 3);
        scores.push_back(scored->logprob);
      }
    }
    CHECK(scores.size() == 29);
    if (first.empty()) first = scores;
    CHECK(scores == first);
  }
}

TEST_CASE("a request for no tokens computes its prompt and ends") {
  GenerateRequest request = make_request(1, 10, 0);
  const Answer answer = run_alone(small_options(), request);
  CHECK(answer.tokens.empty());
  CHECK(answer.reason == FinishReason::kLength);
}

TEST_CASE("requests that contradict the model are refused by field") {
  auto engine = load(small_options());
  const auto param_of = [&](const GenerateRequest& request) {
    const Status status = engine->submit(request);
    return status.has_value() ? std::string("accepted") : status.error().param;
  };
  GenerateRequest request = make_request(1);
  request.prompt = {};
  CHECK(param_of(request) == "prompt");
  request = make_request(1);
  request.prompt[2] = 1 << 20;
  CHECK(param_of(request) == "prompt");
  request = make_request(1, 200, 100);
  REQUIRE_FALSE(engine->submit(request).has_value());
  CHECK(engine->submit(request).error().code == ErrorCode::kContextLengthExceeded);
  request = make_request(1);
  request.sampling.logit_bias = {{-1, 1.0F}};
  CHECK(param_of(request) == "logit_bias");
  request = make_request(1);
  request.delivered = {{1}, {2}};
  CHECK(param_of(request) == "delivered");
  request.delivered.clear();
  request.finished = {0, 0};
  CHECK(param_of(request) == "finished");
  request.finished = {1};
  CHECK(param_of(request) == "finished");
  CHECK(param_of(make_request(1)) == "accepted");
  CHECK(param_of(make_request(1)) == "id");
}

TEST_CASE("a request has the page faults of its steps, once whatever its choices") {
  auto engine = load(small_options());
  GenerateRequest request = make_request(1);
  request.num_choices = 3;
  const Run first = run_all(*engine, {request});
  const PageFaults all = engine->stats().page_faults;
  CHECK(all.minor > 0);  // nobody has touched this mapping's weights before
  CHECK(first.page_faults.at({1, 2}) == all);
  const Run both = run_all(*engine, {make_request(2, 5, 30), make_request(3, 5, 10)});
  CHECK(both.page_faults.at({2, 0}) == engine->stats().page_faults - all);
  CHECK(both.page_faults.at({3, 0}).minor <= both.page_faults.at({2, 0}).minor);
}

TEST_CASE("a plan that does not fit is refused with the largest context that would") {
  EngineOptions options = small_options();
  options.context_tokens = 1 << 20;
  options.parallel = 64;
  options.memory_limit_bytes = 256U << 20;
  const auto engine = Engine::load(options);
  REQUIRE_FALSE(engine.has_value());
  CHECK(engine.error().code == ErrorCode::kResourceExhausted);
  CHECK(engine.error().message.find("largest --ctx that fits is") != std::string::npos);
}

}  // namespace hearth
