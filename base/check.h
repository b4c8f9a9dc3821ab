#pragma once
// HEARTH_CHECK: our own mistakes end the process with file, line and a message. Never for input.

namespace hearth {

/// Prints "file:line: check failed: condition (message)" to stderr and aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               const char* message);

}  // namespace hearth

#define HEARTH_CHECK(condition, message)                               \
  do {                                                                 \
    if (!(condition)) [[unlikely]]                                     \
      ::hearth::check_failed(__FILE__, __LINE__, #condition, message); \
  } while (false)
