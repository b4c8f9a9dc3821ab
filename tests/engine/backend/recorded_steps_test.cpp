// Decode steps that a device replays: the same tokens and the same bits as steps launched op by op.

#include <algorithm>
#include <array>

#include "engine/forward/decode_bucket.h"
#include "tests/engine/backend/support_gpu.h"
#include "tests/engine/support_engine.h"

namespace hearth {
namespace {

using namespace testing;

/// Requests that come while others run, and end at different times.
Run run_in_turns(Engine& engine, const std::vector<GenerateRequest>& requests, int64_t& replays) {
  Run run;
  int64_t progress = 0;
  engine.on_progress([&progress] { ++progress; });
  size_t next = 0;
  for (int64_t step = 0; next < requests.size() || engine.has_work(); ++step) {
    if (next < requests.size() && step % 3 == 0)
      REQUIRE(engine.submit(requests[next++]).has_value());
    progress = 0;
    engine.step();
    // A replayed step shows progress once, at its end.
    replays += progress == 1 ? 1 : 0;
    collect(engine, run);
  }
  engine.on_progress({});
  return run;
}

}  // namespace

TEST_CASE("replayed steps: requests that join and leave, pages that are added") {
  EngineOptions options = testing::on_device(small_options(), {GpuLayers::Kind::kAll, 0});
  options.model = tiny_model("llama", "q4_0");
  options.hash_logits = true;
  options.parallel = 10;
  std::vector<GenerateRequest> requests;
  for (RequestId id = 1; id <= 10; ++id)
    requests.push_back(make_request(id, static_cast<int32_t>(id * 13 % 40 + 1),
                                    static_cast<int32_t>(8 + id * 7 % 20)));
  requests[3].num_choices = 2;
  requests[5].sampling.temperature = 0.0F;
  int64_t replays = 0;
  int64_t none = 0;
  const Run recorded = run_in_turns(*load(options), requests, replays);
  options.gpu_graphs = false;
  const Run plain = run_in_turns(*load(options), requests, none);
  CHECK(recorded.answers == plain.answers);
  CHECK(replays > 5);
  CHECK(none == 0);
}

TEST_CASE("replayed steps: a context that outgrows its class") {
  EngineOptions options = testing::on_device(small_options(), {GpuLayers::Kind::kAll, 0});
  options.context_tokens = 300;
  options.hash_logits = true;
  int64_t replays = 0;
  const Run recorded = run_in_turns(*load(options), {make_request(1, 250, 14)}, replays);
  CHECK(replays == 9);  // 13 decode steps, of which two run and two are recorded
  options.gpu_graphs = false;
  CHECK(run_in_turns(*load(options), {make_request(1, 250, 14)}, replays).answers ==
        recorded.answers);
}

TEST_CASE("replayed steps: layers on the CPU before, experts, and models that cannot be replayed") {
  for (const char* arch : {"qwen3moe", "llama4"}) {
    CAPTURE(arch);
    EngineOptions options = testing::on_device(small_options(), {GpuLayers::Kind::kCount, 1});
    options.model = tiny_model(arch, "f32");
    options.hash_logits = true;
    options.context_tokens = 64;
    const std::vector<GenerateRequest> requests{make_request(1, 5, 5)};
    int64_t replays = 0;
    const Run recorded = run_in_turns(*load(options), requests, replays);
    options.gpu_graphs = false;
    CHECK(run_in_turns(*load(options), requests, replays).answers == recorded.answers);
  }
}

TEST_CASE("sizes of decode steps hold their rows, are few, and never more than asked for") {
  for (int32_t rows = 1; rows <= 300; ++rows) {
    const int32_t bucket = decode_bucket(rows, 300);
    CHECK(bucket >= rows);
    CHECK(bucket <= 300);
    CHECK(bucket - rows < (rows <= 64 ? 8 : 32));
    CHECK(decode_bucket(bucket, 300) == bucket);
    if (rows <= 8) CHECK(bucket == rows);
  }
}

TEST_CASE("a padded batch repeats its last row") {
  const std::array<int32_t, 2> pages{4, 5};
  Batch batch;
  batch.begin_sequence(7, pages.data());
  batch.push(11, true);
  batch.begin_sequence(3, pages.data() + 1);
  batch.push(12, true);
  REQUIRE(is_plain_decode(batch));
  Batch padded;
  pad_batch(batch, 4, padded);
  CHECK(padded.tokens == std::vector<int32_t>{11, 12, 12, 12});
  CHECK(padded.positions == std::vector<int32_t>{7, 3, 3, 3});
  CHECK(padded.logit_rows == std::vector<int32_t>{0, 1, 2, 3});
  CHECK(is_plain_decode(padded));
  for (int32_t i = 1; i < 4; ++i) {
    const kernels::SequenceRows& row = padded.sequences[static_cast<size_t>(i)];
    CHECK(row.row_begin == i);
    CHECK(row.first_position == 3);
    CHECK(row.pages == pages.data() + 1);
  }
  batch.begin_sequence(0, pages.data());
  batch.push(1, false);
  CHECK_FALSE(is_plain_decode(batch));
}

}  // namespace hearth
