#pragma once
// The head of an HTTP/1.x request (RFC 9112), parsed strictly: what two parsers could read
// differently is refused, because that difference is how requests are smuggled.

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "server/http/http_server.h"

namespace hearth::http {

/// Why a request is not served: the status and one sentence for the client.
struct Refusal {
  int status = 400;
  std::string message;
};

template <typename T>
using Parsed = std::expected<T, Refusal>;

std::unexpected<Refusal> refuse(int status, std::string message);

/// Longest request target. Browsers and proxies stop at about 8 KiB as well.
inline constexpr size_t kMaxTargetBytes = 8192;
/// Real clients send 10 to 30 headers, a chain of proxies adds a dozen.
inline constexpr size_t kMaxHeaderCount = 128;

struct RequestHead {
  std::string method;  // upper case
  std::string path;    // percent-decoded, valid UTF-8 without control characters; "*" for OPTIONS *
  std::string query;   // raw, without '?'
  Headers headers;     // in order; values without surrounding blanks
  int minor_version = 1;
};

/// How the body is delimited and what happens after it.
struct Framing {
  bool chunked = false;
  uint64_t content_length = 0;    // 0 if chunked or absent
  bool keep_alive = true;         // the client allows a further request
  bool expects_continue = false;  // waits for 100 before it sends the body
};

/// Looks for the empty line that ends the head. `scanned` is the number of bytes that earlier calls
/// have looked at (start with 0). Returns the length of the head with that line, or 0 if more bytes
/// are needed. 400 for a line that does not end in CRLF, 414 and 431 for what is too long.
Parsed<size_t> find_head_end(std::string_view bytes, size_t& scanned, size_t max_head_bytes);

/// Parses a head as found by find_head_end(). 400 malformed, 414, 431 too many headers, 505
/// version.
Parsed<RequestHead> parse_head(std::string_view head);

/// Reads the headers that delimit the body. 400 for lengths that are repeated, malformed or
/// contradict each other, 413 over `max_body_bytes`, 415 for a Content-Encoding, 417, 501.
Parsed<Framing> parse_framing(const Headers& headers, int minor_version, uint64_t max_body_bytes);

/// `text` with %XX decoded; 400 for a broken escape, a control character or invalid UTF-8.
Parsed<std::string> decode_path(std::string_view text);

/// True if `a` and `b` are equal but for the case of ASCII letters.
bool equals_ignoring_case(std::string_view a, std::string_view b);
/// True if `text` is a token (RFC 9110, 5.6.2): a valid header name.
bool is_token(std::string_view text);

}  // namespace hearth::http
