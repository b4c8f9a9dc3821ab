#include "base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <utility>

namespace hearth {
namespace {

/// %* in the pattern: the syslog priority prefix that journald understands (sd-daemon(3)).
class JournalPriority final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    std::string_view prefix = "<6>";
    if (message.level <= spdlog::level::debug) prefix = "<7>";
    if (message.level == spdlog::level::warn) prefix = "<4>";
    if (message.level >= spdlog::level::err) prefix = "<3>";
    out.append(prefix.data(), prefix.data() + prefix.size());
  }
  [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<JournalPriority>();
  }
};

}  // namespace

void init_log(const std::string& role) {
  auto logger =
      std::make_shared<spdlog::logger>("hearth", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<JournalPriority>('*');
  const bool journal = std::getenv("JOURNAL_STREAM") != nullptr;
  formatter->set_pattern(journal ? "%*" + role + ": %v"
                                 : "%Y-%m-%d %H:%M:%S.%e %l [" + role + "] %v");
  logger->set_formatter(std::move(formatter));
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
}

Status set_log_level(const std::string& level) {
  constexpr std::array kLevels = {
      std::pair{"trace", spdlog::level::trace}, std::pair{"debug", spdlog::level::debug},
      std::pair{"info", spdlog::level::info},   std::pair{"warn", spdlog::level::warn},
      std::pair{"error", spdlog::level::err},   std::pair{"off", spdlog::level::off}};
  for (const auto& [name, value] : kLevels) {
    if (level == name) {
      spdlog::set_level(value);
      return {};
    }
  }
  return fail(ErrorCode::kInvalidArgument,
              "log level is '" + level + "', expected trace, debug, info, warn, error or off",
              "log-level");
}

}  // namespace hearth
