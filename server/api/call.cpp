#include "server/api/call.h"

#include <utility>

#include "server/api/error_response.h"
#include "server/api/json_body.h"

namespace hearth::api {

void CallResponse::send(int status, std::string_view content_type, std::string body,
                        http::Headers extra) {
  status_ = status;
  inner_.send(status, content_type, std::move(body), with_headers(std::move(extra)));
}

void CallResponse::begin_stream(int status, std::string_view content_type, http::Headers extra) {
  status_ = status;
  streaming_ = true;
  inner_.begin_stream(status, content_type, with_headers(std::move(extra)));
}

void CallResponse::send_json(int status, const OrderedJson& value, http::Headers extra) {
  send(status, "application/json", to_text(value), std::move(extra));
}

void CallResponse::send_error(const Error& error) {
  const int status = http_status(error.code);
  send_json(status, error_object(error), error_headers(status));
}

void CallResponse::send_error(int status, std::string_view message, http::Headers extra) {
  for (auto& header : error_headers(status)) extra.push_back(std::move(header));
  send_json(status, error_object(status, message), std::move(extra));
}

http::Headers CallResponse::with_headers(http::Headers extra) const {
  extra.insert(extra.end(), headers_.begin(), headers_.end());
  return extra;
}

}  // namespace hearth::api
