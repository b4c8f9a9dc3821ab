#pragma once
// How the template engine fails inside server/chat. An interpreter has a failure point in nearly
// every expression, so it throws; ChatTemplate catches it, and the lack of memory, and returns a
// Result. No TemplateError leaves this folder.

#include <cstdint>
#include <stdexcept>
#include <string>

namespace hearth::jinja {

enum class Fault : uint8_t {
  kSyntax,   // the text does not parse
  kRuntime,  // a type error, an undefined value, an unknown filter
  kRaised,   // the template called raise_exception
  kLimit,    // steps, depth, memory or output
};

class TemplateError : public std::runtime_error {
 public:
  TemplateError(Fault fault, const std::string& message, int line = 0)
      : std::runtime_error(message), fault_(fault), line_(line) {}

  [[nodiscard]] Fault fault() const { return fault_; }
  [[nodiscard]] int line() const { return line_; }  // 0: not known

 private:
  Fault fault_;
  int line_;
};

[[noreturn]] inline void runtime_fault(const std::string& message) {
  throw TemplateError(Fault::kRuntime, message);
}
[[noreturn]] inline void limit_fault(const std::string& message) {
  throw TemplateError(Fault::kLimit, message);
}

}  // namespace hearth::jinja
