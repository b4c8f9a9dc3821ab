#pragma once
// Errors as OpenAI's object: {"error":{"message","type","param","code"}}. One table from code to
// status.

#include <string>
#include <string_view>

#include "base/result.h"
#include "server/chat/chat_template.h"
#include "server/http/http_server.h"

namespace hearth::api {

/// The HTTP status of an error.
int http_status(ErrorCode code);

/// {"error":{…}} for an error of a request, as the body of an answer or of an event in a stream.
OrderedJson error_object(const Error& error);

/// {"error":{…}} for an error that only a status describes (404 of a path, 405, 413, 415, …).
OrderedJson error_object(int status, std::string_view message);

/// Headers that go with a status: WWW-Authenticate with 401, Retry-After with 429 and 503.
http::Headers error_headers(int status);

}  // namespace hearth::api
