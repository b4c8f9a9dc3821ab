#include "server/api/error_response.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace hearth::api {
namespace {

struct CodeRow {
  ErrorCode code;
  int status;
  const char* name;  // "code" of the object; null: null
};

constexpr std::array<CodeRow, 13> kCodes{{
    {ErrorCode::kInvalidArgument, 400, "invalid_value"},
    {ErrorCode::kMalformed, 400, "invalid_json"},
    {ErrorCode::kUnsupported, 400, "unsupported_parameter"},
    {ErrorCode::kContextLengthExceeded, 400, "context_length_exceeded"},
    {ErrorCode::kUnauthorized, 401, "invalid_api_key"},
    {ErrorCode::kForbidden, 403, "forbidden"},
    {ErrorCode::kNotFound, 404, "model_not_found"},
    {ErrorCode::kTooLarge, 413, "request_too_large"},
    {ErrorCode::kResourceExhausted, 429, "rate_limit_exceeded"},
    {ErrorCode::kIo, 500, "internal_error"},
    {ErrorCode::kInternal, 500, "internal_error"},
    {ErrorCode::kRequestFailedRepeatedly, 500, "request_failed_repeatedly"},
    {ErrorCode::kUnavailable, 503, "service_unavailable"},
}};

struct StatusRow {
  int status;
  const char* name;
};

// What has no ErrorCode: found from the request's head alone.
constexpr std::array<StatusRow, 7> kStatuses{{
    {404, "not_found"},
    {405, "method_not_allowed"},
    {408, "request_timeout"},
    {411, "length_required"},
    {415, "unsupported_media_type"},
    {431, "headers_too_large"},
    {501, "not_implemented"},
}};

const CodeRow& row_of(ErrorCode code) {
  const auto* const row = std::ranges::find(kCodes, code, &CodeRow::code);
  HEARTH_CHECK(row != kCodes.end(), "an error code without a row");
  return *row;
}

const char* type_of(int status) {
  switch (status) {
    case 403:
      return "permission_error";
    case 429:
      return "rate_limit_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

const char* name_of(int status) {
  const auto* const row = std::ranges::find(kStatuses, status, &StatusRow::status);
  if (row != kStatuses.end()) return row->name;
  const auto* const code = std::ranges::find(kCodes, status, &CodeRow::status);
  // A 400 of the HTTP layer is about bytes, not about a value.
  return code != kCodes.end() && status != 400 ? code->name : nullptr;
}

OrderedJson make_object(int status, std::string_view message, std::string_view param,
                        const char* code) {
  OrderedJson error{
      {"message", message}, {"type", type_of(status)}, {"param", nullptr}, {"code", nullptr}};
  if (!param.empty()) error["param"] = param;
  if (code != nullptr) error["code"] = code;
  return OrderedJson{{"error", std::move(error)}};
}

}  // namespace

int http_status(ErrorCode code) { return row_of(code).status; }

OrderedJson error_object(const Error& error) {
  const CodeRow& row = row_of(error.code);
  return make_object(row.status, error.message, error.param, row.name);
}

OrderedJson error_object(int status, std::string_view message) {
  return make_object(status, message, {}, name_of(status));
}

http::Headers error_headers(int status) {
  if (status == 401) return {{"WWW-Authenticate", "Bearer"}};
  // A place in the queue frees within a second, a dead worker is back within a second.
  if (status == 429 || status == 503) return {{"Retry-After", "1"}};
  return {};
}

}  // namespace hearth::api
