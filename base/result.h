#pragma once
// Result<T>: an outcome the caller may meet (bad field, unknown model, no pages, malformed file).
// Broken invariants of our own use HEARTH_CHECK instead (base/check.h).

#include <expected>
#include <string>
#include <utility>

namespace hearth {

/// What kind of thing went wrong. server/api maps each to one HTTP status and OpenAI error type.
enum class ErrorCode {
  kInvalidArgument,          // a value from outside is wrong; `param` names the field
  kNotFound,                 // a named thing (model, route, file) does not exist
  kUnauthorized,             // no key, or a wrong one
  kForbidden,                // Host or Origin not allowed
  kContextLengthExceeded,    // prompt + requested tokens do not fit the context
  kTooLarge,                 // a body, a header or a file is over its limit
  kResourceExhausted,        // a bounded queue or pool is full; try again later
  kUnavailable,              // not ready, draining, or the worker died
  kUnsupported,              // valid, but this build or model cannot do it
  kMalformed,                // bytes of a file or message do not parse
  kIo,                       // the operating system refused
  kRequestFailedRepeatedly,  // workers died under this request again and again
  kInternal,                 // a defect of ours
};

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;  // one sentence: the thing, its value, what was expected
  std::string param;    // the offending field as the user named it; empty if there is none
};

/// std::expected that the compiler does not let a caller ignore.
template <typename T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;
};

using Status = Result<void>;

/// Makes the error side of a Result: `return fail(ErrorCode::kMalformed, "...");`
inline std::unexpected<Error> fail(ErrorCode code, std::string message, std::string param = {}) {
  return std::unexpected<Error>(Error{code, std::move(message), std::move(param)});
}

}  // namespace hearth

#define HEARTH_CONCAT_INNER(a, b) a##b
#define HEARTH_CONCAT(a, b) HEARTH_CONCAT_INNER(a, b)

/// Returns the error of `expr` to the caller if it failed.
#define HEARTH_RETURN_IF_ERROR(expr)                             \
  do {                                                           \
    if (auto hearth_status = (expr); !hearth_status.has_value()) \
      return std::unexpected(std::move(hearth_status).error());  \
  } while (false)

/// `HEARTH_ASSIGN_OR_RETURN(auto x, make_x());` declares x or returns the error.
#define HEARTH_ASSIGN_OR_RETURN(decl, expr) \
  HEARTH_ASSIGN_OR_RETURN_IMPL(HEARTH_CONCAT(hearth_result_, __LINE__), decl, expr)
#define HEARTH_ASSIGN_OR_RETURN_IMPL(tmp, decl, expr)                   \
  auto tmp = (expr);                                                    \
  if (!tmp.has_value()) return std::unexpected(std::move(tmp).error()); \
  decl = std::move(*tmp)
