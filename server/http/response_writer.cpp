#include "server/http/response_writer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/check.h"
#include "server/http/request_head.h"

namespace hearth::http {
namespace {

/// Headers that delimit the answer are ours alone.
bool is_reserved(std::string_view name) {
  for (const std::string_view own :
       {"content-length", "content-type", "transfer-encoding", "connection", "x-request-id"}) {
    if (equals_ignoring_case(name, own)) return true;
  }
  return false;
}

/// Appends "name: value". Control characters become blanks: a value may repeat what a client sent,
/// and a line break in it would be a header of the client's making.
void append_header(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ");
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    out.push_back(byte < 0x20 || byte == 0x7F ? ' ' : c);
  }
  out.append("\r\n");
}

iovec part(std::string_view bytes) {
  return {const_cast<char*>(bytes.data()), bytes.size()};  // sendmsg() only reads
}

}  // namespace

std::string_view reason_phrase(int status) {
  static constexpr std::pair<int, std::string_view> kPhrases[] = {
      {100, "Continue"},
      {200, "OK"},
      {201, "Created"},
      {202, "Accepted"},
      {204, "No Content"},
      {301, "Moved Permanently"},
      {302, "Found"},
      {303, "See Other"},
      {304, "Not Modified"},
      {307, "Temporary Redirect"},
      {308, "Permanent Redirect"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {406, "Not Acceptable"},
      {408, "Request Timeout"},
      {409, "Conflict"},
      {411, "Length Required"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {415, "Unsupported Media Type"},
      {417, "Expectation Failed"},
      {422, "Unprocessable Content"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {499, "Client Closed Request"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {502, "Bad Gateway"},
      {503, "Service Unavailable"},
      {504, "Gateway Timeout"},
      {505, "HTTP Version Not Supported"},
  };
  const auto* found = std::ranges::find(kPhrases, status, &std::pair<int, std::string_view>::first);
  return found == std::end(kPhrases) ? "Status" : found->second;
}

ResponseWriter::ResponseWriter(ClientSocket& socket, Context context, std::function<bool()> closing)
    : socket_(socket), context_(std::move(context)), closing_(std::move(closing)) {}

std::string ResponseWriter::render_head(int status, std::string_view content_type,
                                        const Headers& extra, std::string_view framing) {
  HEARTH_CHECK(status >= 200 && status <= 599, "an answer's status is 200 to 599");
  std::string head = "HTTP/1.1 " + std::to_string(status) + " ";
  head.append(reason_phrase(status)).append("\r\n");
  if (!content_type.empty()) append_header(head, "Content-Type", content_type);
  for (const auto& [name, value] : extra) {
    HEARTH_CHECK(is_token(name) && !is_reserved(name), "an extra header has a name of its own");
    append_header(head, name, value);
  }
  append_header(head, "x-request-id", context_.request_id);
  head.append(framing);
  if (!keep_alive_) {
    head.append("Connection: close\r\n");
  } else if (!context_.chunks) {
    head.append("Connection: keep-alive\r\n");  // HTTP/1.0 closes unless told otherwise
  }
  head.append("\r\n");
  return head;
}

bool ResponseWriter::send_parts(std::string_view first, std::string_view second,
                                std::string_view third) {
  std::array<iovec, 3> parts{part(first), part(second), part(third)};
  if (!socket_.write_all(parts)) failed_ = true;
  return !failed_;
}

void ResponseWriter::send(int status, std::string_view content_type, std::string body,
                          Headers extra) {
  HEARTH_CHECK(state_ == State::kNone, "a request is answered once");
  keep_alive_ = context_.keep_alive && !closing_();
  bodyless_ = context_.head_only || status == 204 || status == 304;
  // RFC 9110, 8.6: no length in a 204; for HEAD, the length that GET would have had.
  std::string framing;
  if (status != 204) framing = "Content-Length: " + std::to_string(body.size()) + "\r\n";
  const std::string head =
      render_head(status, status == 204 ? std::string_view() : content_type, extra, framing);
  state_ = State::kComplete;
  (void)send_parts(head, bodyless_ ? std::string_view() : std::string_view(body), {});
}

void ResponseWriter::begin_stream(int status, std::string_view content_type, Headers extra) {
  HEARTH_CHECK(state_ == State::kNone, "a request is answered once");
  HEARTH_CHECK(status != 204 && status != 304, "this status has no body to stream");
  // Without chunks (HTTP/1.0) the end of the body is the end of the connection.
  keep_alive_ = context_.keep_alive && context_.chunks && !closing_();
  bodyless_ = context_.head_only;
  state_ = State::kStreaming;
  (void)send_parts(render_head(status, content_type, extra,
                               context_.chunks ? "Transfer-Encoding: chunked\r\n" : ""),
                   {}, {});
}

bool ResponseWriter::write(std::string_view bytes) {
  HEARTH_CHECK(state_ == State::kStreaming, "write() needs an open stream");
  // An empty chunk would end the body.
  if (failed_ || bytes.empty() || bodyless_) return !failed_;
  if (!context_.chunks) return send_parts(bytes, {}, {});
  char size_line[20];
  char* end = std::to_chars(size_line, size_line + sizeof size_line - 2, bytes.size(), 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  return send_parts({size_line, static_cast<size_t>(end - size_line)}, bytes, "\r\n");
}

bool ResponseWriter::finish() {
  HEARTH_CHECK(started(), "finish() follows an answer");
  if (state_ == State::kStreaming && context_.chunks && !bodyless_ && !failed_)
    (void)send_parts("0\r\n\r\n", {}, {});
  state_ = State::kComplete;
  return keep_alive_ && !failed_;
}

void ResponseWriter::abort() {
  if (state_ == State::kStreaming && !context_.chunks) socket_.reset_on_close();
  state_ = State::kComplete;
  keep_alive_ = false;
}

}  // namespace hearth::http
