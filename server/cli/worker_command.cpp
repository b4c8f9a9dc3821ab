// hearth worker: one worker process. Started by the gateway alone, with its socket inherited.
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <fstream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "engine/engine.h"
#include "server/cli/commands.h"
#include "server/ipc/channel.h"
#include "server/worker/engine_adapter.h"
#include "server/worker/fault.h"
#include "server/worker/weights_client.h"
#include "server/worker/worker_loop.h"
#include "server/worker/worker_options.h"

namespace hearth {
namespace {

/// When memory runs out the kernel should take a worker, which is replaced, not the gateway.
void prefer_for_oom_kill() {
  constexpr int kMore = 300;  // of 1000: as if it used 30 % more of the memory than it does
  int own = 0;
  std::ifstream("/proc/self/oom_score_adj") >> own;
  std::ofstream out("/proc/self/oom_score_adj");
  out << std::min(own + kMore, 1000);
  out.flush();
  if (!out) spdlog::debug("cannot raise oom_score_adj");
}

/// The gateway alone decides when a worker ends: a Ctrl-C at the terminal and a SIGTERM to the
/// whole service reach the workers too, and must not cut streams that the gateway drains. When the
/// gateway dies, so do its workers, however it died.
void tie_to_gateway() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, SIG_IGN);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // Had the gateway died before this line, its end of the socket would be closed: the loop sees it.
}

int load_and_run(const WorkerOptions& options, ipc::Channel& channel) {
  constexpr int kLastWordsMs = 1000;
  const SteadyClock clock;
  WeightsClient weights(channel, clock);
  EngineOptions engine_options = options.engine;
  engine_options.weights_exchange = &weights;
  auto engine = Engine::load(engine_options);
  if (weights.ended()) return 0;
  if (!engine.has_value()) {
    const ipc::LoadFailed failed{engine.error().code, engine.error().message};
    // Without a gateway that listens nobody wants to know.
    if (channel.send(ipc::Up(failed)).has_value()) channel.flush_blocking(kLastWordsMs);
    return 1;
  }
  const MemoryPlan& plan = (*engine)->plan();
  ipc::Ready ready{.pid = ::getpid(),
                   .context_tokens = plan.context_tokens,
                   .vocab_size = plan.vocab_size,
                   .page_tokens = plan.page_tokens,
                   .kv_pages = plan.kv_pages,
                   .kv_type = std::string(dtype_info(plan.kv_type).name),
                   .plan_line = (*engine)->kernels() + "; " + plan.describe()};
  if (!channel.send(ipc::Up(std::move(ready))).has_value()) return 0;
  EngineAdapter adapter(**engine);
  std::optional<FaultyEngine> faulty;
  if (!options.fault.empty()) {
    const auto fault = parse_fault(options.fault);
    if (!fault.has_value()) throw std::invalid_argument(fault.error().message);
    faulty.emplace(adapter, *fault);
  }
  WorkerEngine& served = faulty ? static_cast<WorkerEngine&>(*faulty) : adapter;
  const LoopEnd end = WorkerLoop(channel, served, clock).run();
  return end == LoopEnd::kBrokenProtocol ? 1 : 0;
}

}  // namespace

int worker_command(int argc, char** argv) {
  const auto options = parse_worker_arguments(std::span(argv + 1, static_cast<size_t>(argc - 1)));
  if (!options.has_value()) {
    std::fprintf(stderr, "hearth: %s\n", options.error().message.c_str());
    return 2;
  }
  tie_to_gateway();
  init_log("worker " + std::to_string(options->index));
  if (const auto status = set_log_level(options->log_level); !status.has_value()) {
    spdlog::error("{}", status.error().message);
    return 2;
  }
  prefer_for_oom_kill();
  if (!options->cpus.empty()) {
    if (const auto status = pin_process(options->cpus); !status.has_value())
      spdlog::warn("{}", status.error().message);  // slower, not wrong
  }
  ipc::Channel channel{UniqueFd(options->fd)};
  try {
    return load_and_run(*options, channel);
  } catch (const std::exception& error) {
    spdlog::critical("the worker ends: {}", error.what());
    return 1;
  }
}

}  // namespace hearth
