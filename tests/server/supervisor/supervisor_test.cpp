#include "server/supervisor/supervisor.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "server/supervisor/sd_notify.h"
#include "server/supervisor/signals.h"

using namespace hearth;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

/// Workers are shells; the clock moves when told to. The sockets are held open.
class Harness {
 public:
  Harness(int32_t num_workers, const std::string& script)
      : supervisor(options(num_workers, script),
                   {[this](int32_t worker, pid_t, UniqueFd socket) {
                      ++starts[worker];
                      sockets[worker] = std::move(socket);
                    },
                    [this](const WorkerExit& exit) { exits.push_back(exit); }},
                   clock) {}

  static Supervisor::Options options(int32_t num_workers, const std::string& script) {
    Supervisor::Options out;
    out.num_workers = num_workers;
    out.executable = "/bin/sh";
    out.arguments = [script](int32_t) { return std::vector<std::string>{"sh", "-c", script}; };
    return out;
  }
  /// Reaps until `count` processes have ended in all.
  void wait_for_exits(size_t count) {
    for (int i = 0; i < 5000 && exits.size() < count; ++i) {
      supervisor.reap();
      std::this_thread::sleep_for(milliseconds(1));
    }
    REQUIRE(exits.size() == count);
  }
  static bool has_children() { return ::waitpid(-1, nullptr, WNOHANG) >= 0 || errno != ECHILD; }

  FakeClock clock;
  std::map<int32_t, int> starts;
  std::map<int32_t, UniqueFd> sockets;
  std::vector<WorkerExit> exits;
  Supervisor supervisor;
};

}  // namespace

TEST_CASE("the first death costs nothing, those that follow twice as long each time") {
  const RestartPolicy policy{seconds(5), milliseconds(250), seconds(30)};
  CHECK(policy.delay(0) == milliseconds(0));
  CHECK(policy.delay(1) == milliseconds(0));
  CHECK(policy.delay(2) == milliseconds(250));
  CHECK(policy.delay(3) == milliseconds(500));
  CHECK(policy.delay(8) == milliseconds(16000));
  CHECK(policy.delay(9) == seconds(30));
  CHECK(policy.delay(1'000'000) == seconds(30));
}

TEST_CASE("a killed worker is started again at once; others keep running") {
  Harness harness(2, "exec sleep 1000");
  REQUIRE(harness.supervisor.start().has_value());
  const pid_t other = harness.supervisor.pid(1);
  harness.clock.advance(seconds(60));
  REQUIRE(::kill(harness.supervisor.pid(0), SIGKILL) == 0);
  harness.wait_for_exits(1);
  CHECK(harness.exits[0].worker == 0);
  CHECK(harness.exits[0].describe() == "signal 9 (Killed)");
  CHECK(harness.exits[0].young_deaths == 0);
  CHECK(harness.supervisor.pid(0) == 0);
  CHECK(harness.supervisor.until_restart() == milliseconds(0));
  harness.supervisor.restart_due();
  CHECK(harness.supervisor.pid(0) != 0);
  CHECK(harness.supervisor.pid(1) == other);
  CHECK(harness.starts[0] == 2);
  CHECK(harness.starts[1] == 1);
  CHECK(!harness.supervisor.until_restart());
}

TEST_CASE("a worker that keeps dying young is started ever more slowly") {
  Harness harness(1, "exit 7");
  REQUIRE(harness.supervisor.start().has_value());
  for (const int delay_ms : {0, 250, 500, 1000}) {
    harness.wait_for_exits(harness.exits.size() + 1);
    CHECK(harness.exits.back().describe() == "exit status 7");
    CHECK(harness.exits.back().restart_in == milliseconds(delay_ms));
    if (delay_ms > 0) {
      harness.clock.advance(milliseconds(delay_ms - 1));
      harness.supervisor.restart_due();
      CHECK(harness.supervisor.pid(0) == 0);
      CHECK(harness.supervisor.until_restart() == milliseconds(1));
      harness.clock.advance(milliseconds(1));
    }
    harness.supervisor.restart_due();
    CHECK(harness.supervisor.pid(0) != 0);
  }
}

TEST_CASE("a ready worker that is killed again and again is no crash loop; one that loads is") {
  for (const bool ready : {true, false}) {
    CAPTURE(ready);
    Harness harness(1, "exec sleep 1000");
    REQUIRE(harness.supervisor.start().has_value());
    for (int32_t death = 1; death <= 4; ++death) {
      if (ready) harness.supervisor.note_ready(harness.supervisor.pid(0));
      REQUIRE(::kill(harness.supervisor.pid(0), SIGKILL) == 0);
      harness.wait_for_exits(harness.exits.size() + 1);
      CHECK(harness.exits.back().young_deaths == (ready ? 0 : death));
      harness.clock.advance(harness.exits.back().restart_in);
      harness.supervisor.restart_due();
    }
    harness.supervisor.stop(milliseconds(0));
  }
}

TEST_CASE(
    "whose fault an end is: crashes and error statuses, not what others send, not a clean end") {
  const auto at_fault = [](int status) { return WorkerExit{.status = status}.by_own_fault(); };
  CHECK(at_fault(W_EXITCODE(1, 0)));
  CHECK(at_fault(W_EXITCODE(127, 0)));
  CHECK_FALSE(at_fault(W_EXITCODE(0, 0)));
  for (const int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL})
    CHECK(at_fault(W_EXITCODE(0, signal)));
  for (const int signal : {SIGKILL, SIGTERM, SIGINT, SIGHUP})
    CHECK_FALSE(at_fault(W_EXITCODE(0, signal)));
}

TEST_CASE("kill ends the process that is meant, and not the one that replaced it") {
  Harness harness(1, "exec sleep 1000");
  REQUIRE(harness.supervisor.start().has_value());
  const pid_t first = harness.supervisor.pid(0);
  harness.supervisor.kill(0, first);
  harness.wait_for_exits(1);
  CHECK(harness.exits[0].describe() == "signal 9 (Killed)");
  harness.clock.advance(harness.exits[0].restart_in);
  harness.supervisor.restart_due();
  const pid_t second = harness.supervisor.pid(0);
  REQUIRE(second != 0);
  harness.supervisor.kill(0, first);
  std::this_thread::sleep_for(milliseconds(20));
  harness.supervisor.reap();
  CHECK(harness.exits.size() == 1);
  CHECK(harness.supervisor.pid(0) == second);
}

TEST_CASE("the child inherits its socket, and no blocked signal") {
  const auto signals = Signals::block();
  REQUIRE(signals.has_value());
  Harness harness(1,
                  "grep -q '^SigBlk:.0000000000000000$' /proc/self/status && "
                  "[ -S /proc/self/fd/3 ] && echo ok >&3");
  REQUIRE(harness.supervisor.start().has_value());
  harness.wait_for_exits(1);
  CHECK(harness.exits[0].status == 0);
  std::array<char, 8> text{};
  CHECK(::recv(harness.sockets[0].get(), text.data(), text.size(), 0) == 3);
  CHECK(std::string(text.data(), 2) == "ok");
}

TEST_CASE("stopping kills who does not end by itself and leaves no zombie") {
  Harness harness(3, "trap '' TERM; while true; do sleep 0.01; done");
  REQUIRE(harness.supervisor.start().has_value());
  harness.supervisor.stop(milliseconds(0));
  CHECK(harness.exits.size() == 3);
  CHECK(!harness.supervisor.until_restart());
  harness.supervisor.restart_due();
  CHECK(harness.supervisor.pid(0) == 0);
  CHECK(!Harness::has_children());
}

TEST_CASE("an executable that is not there is an error that names it") {
  Supervisor::Options options = Harness::options(1, "");
  options.executable = "/nonexistent/hearth";
  const SteadyClock clock;
  Supervisor supervisor(options, {[](int32_t, pid_t, UniqueFd) {}, [](const WorkerExit&) {}},
                        clock);
  const auto status = supervisor.start();
  REQUIRE(!status.has_value());
  CHECK(status.error().code == ErrorCode::kIo);
  CHECK(status.error().message.find("/nonexistent/hearth") != std::string::npos);
}

TEST_CASE("signals come as values") {
  auto signals = Signals::block();
  REQUIRE(signals.has_value());
  while (signals->wait(milliseconds(0))) {  // of the children of other tests
  }
  ::raise(SIGTERM);
  CHECK(signals->wait(milliseconds(1000)) == SIGTERM);
  CHECK(!signals->wait(milliseconds(0)));
}

TEST_CASE("systemd gets its datagram") {
  std::string name = "/tmp/hearth-notify-XXXXXX";
  REQUIRE(::mkdtemp(name.data()) != nullptr);
  const std::string path = name + "/socket";
  const UniqueFd server(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  REQUIRE(::bind(server.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  sd_notify("READY=1");
  ::unsetenv("NOTIFY_SOCKET");
  std::array<char, 32> text{};
  CHECK(::recv(server.get(), text.data(), text.size(), MSG_DONTWAIT) == 7);
  CHECK(std::string(text.data()) == "READY=1");
  ::unlink(path.c_str());
  ::rmdir(name.c_str());
}
