#include "server/worker/fault.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

using namespace hearth;

namespace {

/// Tells what it is given to tell.
class ScriptedEngine final : public WorkerEngine {
 public:
  Status submit(GenerateRequest) override { return {}; }
  void cancel(RequestId) override {}
  void stop_choice(RequestId, int32_t) override {}
  [[nodiscard]] bool has_work() const override { return true; }
  void step() override {}
  std::vector<EngineEvent> poll() override { return events; }
  std::vector<QueueTime> take_queue_times() override { return {}; }
  void on_progress(std::function<void()>) override {}
  [[nodiscard]] EngineStats stats() const override { return {}; }

  std::vector<EngineEvent> events;
};

GenerateRequest request(RequestId id, size_t prompt_tokens) {
  GenerateRequest out;
  out.id = id;
  out.prompt.assign(prompt_tokens, 1);
  return out;
}

TokenEvent token(RequestId id, int32_t index) { return TokenEvent{id, 0, index, 5, 0.0F, {}}; }

/// How a process ends that polls an engine once; 0 if it simply goes on.
int end_of_poll(FaultyEngine& engine) {
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    std::signal(SIGABRT, SIG_DFL);  // doctest's handler would report the abort that is asked for
    (void)engine.poll();
    std::_Exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  return status;
}

}  // namespace

TEST_CASE("a fault is parsed, and anything else is refused") {
  CHECK(parse_fault("abort@77:5").value() == Fault{FaultKind::kAbort, 77, 5, std::nullopt});
  CHECK(parse_fault("hang@40:0/1").value() == Fault{FaultKind::kHang, 40, 0, 1});
  CHECK(parse_fault("kill@1:2").value().kind == FaultKind::kKill);
  CHECK(parse_fault("exit@1:2").value().kind == FaultKind::kExit);
  for (const char* wrong :
       {"", "abort", "abort@", "abort@7", "abort@7:", "abort@7:x", "abort@7:1/", "abort@7:1/x",
        "abort@7:1/2/3", "abort@-7:1", "melt@7:1", "@7:1", "abort@99999999999:1", "abort@7:1 "}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_fault(wrong).has_value());
  }
}

TEST_CASE("a fault strikes at the token of a request with the prompt, and at no other") {
  ScriptedEngine inner;
  FaultyEngine engine(inner, {FaultKind::kExit, 3, 2, std::nullopt});
  REQUIRE(engine.submit(request(1, 3)).has_value());
  REQUIRE(engine.submit(request(2, 4)).has_value());
  inner.events = {token(1, 0), token(1, 1), token(2, 7)};
  CHECK(engine.poll().size() == 3);
  inner.events = {token(1, 3)};  // later: the token itself was told by another process
  const int status = end_of_poll(engine);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 1);
}

TEST_CASE("abort and kill end the process by their signals") {
  ScriptedEngine inner;
  inner.events = {token(1, 0)};
  for (const auto& [kind, signal] :
       {std::pair{FaultKind::kAbort, SIGABRT}, std::pair{FaultKind::kKill, SIGKILL}}) {
    FaultyEngine engine(inner, {kind, 3, 0, std::nullopt});
    REQUIRE(engine.submit(request(1, 3)).has_value());
    const int status = end_of_poll(engine);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == signal);
  }
}
