#include "server/worker/fault.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <utility>

namespace hearth {
namespace {

constexpr std::array kKinds = {std::pair{std::string_view("abort"), FaultKind::kAbort},
                               std::pair{std::string_view("exit"), FaultKind::kExit},
                               std::pair{std::string_view("kill"), FaultKind::kKill},
                               std::pair{std::string_view("hang"), FaultKind::kHang}};

/// Takes a number that ends before `end` or with the text.
std::optional<int32_t> take_number(std::string_view& text, char end) {
  int32_t value = 0;
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value < 0) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(at - text.data()));
  if (!text.empty()) {
    if (text.front() != end) return std::nullopt;
    text.remove_prefix(1);
    if (text.empty()) return std::nullopt;  // nothing behind the separator
  }
  return value;
}

[[noreturn]] void strike(FaultKind kind) {
  spdlog::warn("--fault strikes");
  switch (kind) {
    case FaultKind::kAbort:
      std::abort();
    case FaultKind::kExit:
      std::_Exit(1);
    case FaultKind::kKill:
      ::kill(::getpid(), SIGKILL);
      break;
    case FaultKind::kHang:
      break;
  }
  while (true) ::pause();
}

}  // namespace

Result<Fault> parse_fault(std::string_view spec) {
  const auto refuse = [&] {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("--fault: '{}' is not KIND@PROMPT:TOKEN[/WORKER] with KIND abort, "
                            "exit, kill or hang",
                            spec),
                "--fault");
  };
  const size_t at = std::min(spec.find('@'), spec.size());
  const auto* kind = std::ranges::find(kKinds, spec.substr(0, at), [](auto& k) { return k.first; });
  if (kind == kKinds.end() || at == spec.size()) return refuse();
  std::string_view rest = spec.substr(at + 1);
  const auto prompt = take_number(rest, ':');
  if (!prompt || rest.empty()) return refuse();
  const auto token = take_number(rest, '/');
  if (!token) return refuse();
  Fault fault{kind->second, *prompt, *token, std::nullopt};
  if (!rest.empty()) {
    fault.worker = take_number(rest, '/');
    if (!fault.worker || !rest.empty()) return refuse();
  }
  return fault;
}

Status FaultyEngine::submit(GenerateRequest request) {
  if (std::cmp_equal(request.prompt.size(), fault_.prompt_tokens)) struck_.insert(request.id);
  return inner_.submit(std::move(request));
}

std::vector<EngineEvent> FaultyEngine::poll() {
  auto events = inner_.poll();
  for (const EngineEvent& event : events) {
    const auto* token = std::get_if<TokenEvent>(&event);
    if (token != nullptr && token->index >= fault_.token_index && struck_.contains(token->request))
      strike(fault_.kind);
  }
  return events;
}

}  // namespace hearth
