#include "server/worker/worker_options.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace hearth;

namespace {

Result<WorkerOptions> parse(std::vector<std::string> arguments) {
  std::vector<char*> pointers;
  for (auto& argument : arguments) pointers.push_back(argument.data());
  return parse_worker_arguments(pointers);
}

}  // namespace

TEST_CASE("what the gateway writes, the worker reads") {
  WorkerOptions options;
  options.fd = 17;
  options.index = 3;
  options.cpus = {0, 1, 2, 8};
  options.log_level = "debug";
  options.engine.model = "/models/a b=c.gguf";
  options.engine.isa = "avx2";
  options.engine.threads = 4;
  options.engine.context_tokens = 4096;
  options.engine.parallel = 9;
  options.engine.kv_type = DType::kQ8_0;
  options.engine.step_tokens = 77;
  options.engine.prefill_chunk = 33;
  options.engine.memory_limit_bytes = 1ULL << 40;
  options.engine.fast_math_order = true;
  options.engine.hash_logits = true;
  const auto back = parse(format_worker_arguments(options));
  REQUIRE(back.has_value());
  CHECK(back->fd == 17);
  CHECK(back->index == 3);
  CHECK(back->cpus == options.cpus);
  CHECK(back->log_level == "debug");
  CHECK(back->engine.model == "/models/a b=c.gguf");
  CHECK(back->engine.isa == "avx2");
  CHECK(back->engine.threads == 4);
  CHECK(back->engine.context_tokens == 4096);
  CHECK(back->engine.parallel == 9);
  CHECK(back->engine.kv_type == DType::kQ8_0);
  CHECK(back->engine.step_tokens == 77);
  CHECK(back->engine.prefill_chunk == 33);
  CHECK(back->engine.memory_limit_bytes == 1ULL << 40);
  CHECK(back->engine.fast_math_order);
  CHECK(back->engine.hash_logits);
}

TEST_CASE("other arguments are refused by name") {
  for (const char* bad :
       {"--fd", "--fd=", "--fd=3x", "--fd=99999999999", "--color=1", "fd=3", "--cpus=1-",
        "--kv-type=q9_9", "--memory-limit=-1", "--hash-logits=yes", "--model=", ""}) {
    CAPTURE(bad);
    const auto result = parse({bad});
    REQUIRE(!result.has_value());
    CHECK(result.error().code == ErrorCode::kInvalidArgument);
    CHECK(result.error().message.find(std::string("'") + bad + "'") != std::string::npos);
  }
}
