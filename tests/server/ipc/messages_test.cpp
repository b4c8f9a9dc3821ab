#include "server/ipc/messages.h"

#include <doctest/doctest.h>

#include <bit>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <string_view>

using namespace hearth;
using namespace hearth::ipc;

namespace {

GenerateRequest full_request() {
  GenerateRequest request;
  request.id = 0x0123456789abcdefULL;
  request.prompt = {1, 2, 3, 2'000'000'000};
  request.num_choices = 4;
  request.max_tokens = 77;
  request.stop_tokens = {2, 32000};
  request.prompt_logprobs = true;
  request.sampling.temperature = 0.7F;
  request.sampling.top_k = 40;
  request.sampling.logit_bias = {{5, -100.0F}, {9, 0.5F}};
  request.sampling.seed = std::numeric_limits<uint64_t>::max();
  request.sampling.num_logprobs = 20;
  request.fairness_key = std::string("key\0\n\"\xff", 7);
  request.priority = -3;
  request.delivered = {{10, 11}, {}, {12}, {}};
  request.finished = {0, 0, 1, 0};
  return request;
}

std::string frame_of(const Down& message) {
  std::string out;
  REQUIRE(append_frame(out, message).has_value());
  return out;
}

std::string frame_of(const Up& message) {
  std::string out;
  REQUIRE(append_frame(out, message).has_value());
  return out;
}

const WeightsLayout kLayout{"GPU-1", 3, 1ULL << 37, 0xfedcba9876543210ULL, 5};

Events full_events() {
  Events events;
  events.events = {TokenEvent{7, 1, 5, 42, -0.25F, {{42, -0.25F}, {43, -2.0F}}},
                   PromptLogprobEvent{7, 3, -1.5F, {{1, -0.5F}}},
                   FinishEvent{7, 0, FinishReason::kLength, 16, 32, {.minor = 9, .major = 2}},
                   FailEvent{8, ErrorCode::kContextLengthExceeded, "too long"}};
  events.queue_times = {{7, 123456789, 64}};
  events.step_tokens = 512;
  return events;
}

}  // namespace

TEST_CASE("every message down comes back as it was") {
  for (const Down& message :
       {Down(Submit{full_request()}), Down(Cancel{99}), Down(StopChoice{99, 3}), Down(Shutdown{}),
        Down(UploadWeights{kLayout}), Down(MapWeights{kLayout, 7}),
        Down(RefuseWeights{"the model file has changed"})}) {
    const std::string frame = frame_of(message);
    uint32_t length = 0;
    __builtin_memcpy(&length, frame.data(), sizeof length);
    CHECK(length == frame.size() - sizeof length);
    const auto back = decode_down(std::string_view(frame).substr(4));
    REQUIRE(back.has_value());
    CHECK(*back == message);
  }
}

TEST_CASE("every message up comes back as it was") {
  const Stats stats{EngineStats{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, {13, 14}}, 1ULL << 40, 12};
  const Ready ready{1234, 4096, 32000, 16, 1LL << 33, "q8_0", "memory plan: …"};
  const LoadFailed failed{ErrorCode::kMalformed, "x.gguf: general.name is 7, expected a string"};
  for (const Up& message : {Up(ready), Up(failed), Up(full_events()), Up(stats), Up(Alive{}),
                            Up(WantWeights{kLayout}), Up(HaveWeights{kLayout}),
                            Up(RejectWeights{"GPU-1", 7, "why"}), Up(Loading{1, 1ULL << 40})}) {
    const std::string frame = frame_of(message);
    const auto back = decode_up(std::string_view(frame).substr(4));
    REQUIRE(back.has_value());
    CHECK(*back == message);
  }
}

TEST_CASE("floats keep their bits") {
  Events events;
  for (const uint32_t bits : {0x80000000U, 0x00000001U, 0x7fc00001U, 0xff800000U})
    events.events.push_back(TokenEvent{1, 0, 0, 0, std::bit_cast<float>(bits), {}});
  const std::string frame = frame_of(Up(events));
  const auto back = decode_up(std::string_view(frame).substr(4));
  REQUIRE(back.has_value());
  const auto& got = std::get<Events>(*back).events;
  CHECK(std::bit_cast<uint32_t>(std::get<TokenEvent>(got[0]).logprob) == 0x80000000U);
  CHECK(std::bit_cast<uint32_t>(std::get<TokenEvent>(got[1]).logprob) == 0x00000001U);
  CHECK(std::bit_cast<uint32_t>(std::get<TokenEvent>(got[2]).logprob) == 0x7fc00001U);
  CHECK(std::bit_cast<uint32_t>(std::get<TokenEvent>(got[3]).logprob) == 0xff800000U);
}

TEST_CASE("a message cut at any byte, or with a byte too many, is refused") {
  const std::string frame = frame_of(Down(Submit{full_request()})).substr(4);
  for (size_t size = 0; size < frame.size(); ++size) {
    CAPTURE(size);
    const auto result = decode_down(std::string_view(frame).substr(0, size));
    REQUIRE(!result.has_value());
    CHECK(result.error().code == ErrorCode::kMalformed);
  }
  CHECK(!decode_down(frame + '\0').has_value());
}

TEST_CASE("unknown types, enumerators and truth values are refused") {
  CHECK(!decode_down(std::string("\x04", 1)).has_value());
  CHECK(!decode_up(std::string("\xff", 1)).has_value());

  std::string finish = frame_of(Up(Events{{FinishEvent{1, 0, FinishReason::kStop, 0, 0}}, {}, 0}));
  const size_t reason = 4 + 1 + 4 + 1 + 8 + 4;  // frame, type, count, kind, request, choice
  REQUIRE(finish[reason] == 0);
  CHECK(decode_up(std::string_view(finish).substr(4)).has_value());
  finish[reason] = 3;
  CHECK(!decode_up(std::string_view(finish).substr(4)).has_value());

  GenerateRequest request;
  std::string submit = frame_of(Down(Submit{request}));
  const size_t flag = 4 + 1 + 8 + 4 + 4 + 4 + 4;  // prompt_logprobs, behind two empty vectors
  REQUIRE(submit[flag] == 0);
  submit[flag] = 2;
  CHECK(!decode_down(std::string_view(submit).substr(4)).has_value());
}

TEST_CASE("a count that lies costs no memory") {
  std::string frame = frame_of(Down(Submit{full_request()})).substr(4);
  const uint32_t lie = 0xffffffffU;
  __builtin_memcpy(frame.data() + 1 + 8, &lie, sizeof lie);  // the prompt's count
  CHECK(!decode_down(frame).has_value());
}

TEST_CASE("a frame over the limit is refused and leaves no trace") {
  Submit submit;
  submit.request.prompt.resize(kMaxFrameBytes / sizeof(int32_t));
  std::string out = "before";
  const auto status = append_frame(out, Down(submit));
  REQUIRE(!status.has_value());
  CHECK(status.error().code == ErrorCode::kTooLarge);
  CHECK(out == "before");
}

TEST_CASE("random changes to a message never do harm") {
  std::mt19937 random(1);  // NOLINT: a fixed seed is the point
  const std::string good = frame_of(Up(full_events())).substr(4);
  int accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = good;
    for (int change = 0; change < 3; ++change)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    accepted += decode_up(bytes).has_value() ? 1 : 0;
  }
  CHECK(accepted > 0);      // changed values of plain fields are still messages
  CHECK(accepted < 20000);  // changed counts are not
}
