#include "server/http/request_head.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/utf8.h"

namespace hearth::http {
namespace {

constexpr size_t kMaxMethodBytes = 32;
// "METHOD SP target SP HTTP/1.1" at its longest.
constexpr size_t kMaxRequestLineBytes = kMaxMethodBytes + kMaxTargetBytes + 16;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_token_char(char c) {
  if ((c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z')) return true;
  return std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7F;
}

std::string_view trim_blanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// Takes the next line off `rest`, without its CRLF. The caller has checked that there is one.
std::string_view take_line(std::string_view& rest) {
  const size_t end = rest.find("\r\n");
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end + 2);
  return line;
}

Parsed<int> parse_version(std::string_view text) {
  const bool shaped = text.size() == 8 && text.starts_with("HTTP/") && text[6] == '.' &&
                      text[5] >= '0' && text[5] <= '9' && text[7] >= '0' && text[7] <= '9';
  if (!shaped) return refuse(400, "the request line must end in HTTP/1.1 or HTTP/1.0");
  if (text[5] != '1') return refuse(505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
  return text[7] == '0' ? 0 : 1;
}

/// Splits the target into path and query, and for the absolute form (RFC 9112, 3.2.2) puts its
/// authority in place of the Host header.
Parsed<std::optional<std::string>> parse_target(std::string_view target, RequestHead& head) {
  std::optional<std::string> authority;
  const bool printable =
      std::ranges::all_of(target, [](char c) { return c > 0x20 && c < 0x7F && c != '#'; });
  if (!printable) return refuse(400, "the request target has a character that must be escaped");
  if (target == "*" && head.method == "OPTIONS") {
    head.path.assign(1, '*');
    return authority;
  }
  constexpr std::string_view kScheme = "http://";
  if (target.size() > kScheme.size() &&
      equals_ignoring_case(target.substr(0, kScheme.size()), kScheme)) {
    target.remove_prefix(kScheme.size());
    const size_t end = std::min(target.find_first_of("/?"), target.size());
    authority = std::string(target.substr(0, end));
    target.remove_prefix(end);
    if (authority->empty() || authority->find('@') != std::string::npos)
      return refuse(400, "the request target has no valid host");
    if (target.empty() || target.front() == '?') head.path.assign(1, '/');
  }
  if (head.path.empty() && !target.starts_with('/'))
    return refuse(400, "the request target must begin with '/'");
  const size_t mark = target.find('?');
  auto path = decode_path(target.substr(0, mark));
  if (!path) return std::unexpected(std::move(path).error());
  if (head.path.empty()) head.path = std::move(*path);
  if (mark != std::string_view::npos) head.query = std::string(target.substr(mark + 1));
  return authority;
}

Parsed<std::optional<std::string>> parse_request_line(std::string_view line, RequestHead& head) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last || line.find(' ', first + 1) != last)
    return refuse(400, "the request line must be METHOD TARGET HTTP/1.1");
  const std::string_view method = line.substr(0, first);
  const bool upper = std::ranges::all_of(method, [](char c) { return c >= 'A' && c <= 'Z'; });
  if (method.empty() || method.size() > kMaxMethodBytes || !upper)
    return refuse(400, "the method must be upper-case letters");
  const std::string_view target = line.substr(first + 1, last - first - 1);
  auto version = parse_version(line.substr(last + 1));
  if (!version) return std::unexpected(std::move(version).error());
  if (target.size() > kMaxTargetBytes)
    return refuse(414, "the request target is longer than 8192 bytes");
  head.method = std::string(method);
  head.minor_version = *version;
  return parse_target(target, head);
}

Parsed<std::pair<std::string, std::string>> parse_header(std::string_view line) {
  if (line.front() == ' ' || line.front() == '\t')
    return refuse(400, "a header must not be folded over several lines");
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon)))
    return refuse(400, "a header must be NAME: VALUE, with no blank before the colon");
  const std::string_view value = trim_blanks(line.substr(colon + 1));
  if (std::ranges::any_of(value, [](char c) { return is_control(c) && c != '\t'; }))
    return refuse(
        400,
        std::string("a control character in the value of header ").append(line.substr(0, colon)));
  return std::pair(std::string(line.substr(0, colon)), std::string(value));
}

/// Exactly one Host in HTTP/1.1 (RFC 9112, 3.2); the target's authority wins over it.
Parsed<void> settle_host(RequestHead& head, std::optional<std::string> authority) {
  const auto is_host = [](const auto& h) { return equals_ignoring_case(h.first, "host"); };
  const auto count = std::ranges::count_if(head.headers, is_host);
  if (count > 1) return refuse(400, "more than one Host header");
  if (count == 0 && head.minor_version >= 1) return refuse(400, "the Host header is missing");
  if (!authority) return {};
  if (count == 0) {
    head.headers.emplace_back("Host", std::move(*authority));
  } else {
    std::ranges::find_if(head.headers, is_host)->second = std::move(*authority);
  }
  return {};
}

/// All values of one header, in order.
std::vector<std::string_view> values_of(const Headers& headers, std::string_view name) {
  std::vector<std::string_view> values;
  for (const auto& [key, value] : headers) {
    if (equals_ignoring_case(key, name)) values.push_back(value);
  }
  return values;
}

/// True if the comma-separated lists in `values` have `item`.
bool list_has(const std::vector<std::string_view>& values, std::string_view item) {
  for (std::string_view rest : values) {
    while (!rest.empty()) {
      const size_t comma = std::min(rest.find(','), rest.size());
      if (equals_ignoring_case(trim_blanks(rest.substr(0, comma)), item)) return true;
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return false;
}

Parsed<uint64_t> parse_length(const std::vector<std::string_view>& lengths) {
  if (lengths.empty()) return 0;
  if (lengths.size() > 1) return refuse(400, "more than one Content-Length header");
  const std::string_view text = lengths[0];
  const bool digits = std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  uint64_t length = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), length);
  if (text.empty() || !digits)
    return refuse(400, "Content-Length must be a number of bytes in decimal digits");
  if (parsed.ec != std::errc()) return refuse(413, "Content-Length is too large");
  return length;
}

Parsed<void> check_content(const Headers& headers) {
  for (const std::string_view encoding : values_of(headers, "content-encoding")) {
    if (!encoding.empty() && !equals_ignoring_case(encoding, "identity"))
      return refuse(415, "Content-Encoding is not supported: send the body as it is");
  }
  for (const std::string_view expect : values_of(headers, "expect")) {
    if (!equals_ignoring_case(expect, "100-continue"))
      return refuse(417, "only 'Expect: 100-continue' can be met");
  }
  return {};
}

}  // namespace

std::unexpected<Refusal> refuse(int status, std::string message) {
  return std::unexpected<Refusal>(Refusal{status, std::move(message)});
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, is_token_char);
}

Parsed<size_t> find_head_end(std::string_view bytes, size_t& scanned, size_t max_head_bytes) {
  const std::string_view within = bytes.substr(0, max_head_bytes);
  for (; scanned < within.size(); ++scanned) {
    if (within[scanned] != '\n') continue;
    if (scanned == 0 || within[scanned - 1] != '\r')
      return refuse(400, "a line of the head must end in CR LF");
    if (scanned >= 3 && within[scanned - 2] == '\n') return ++scanned;
    if (scanned == 1) return refuse(400, "the request line is empty");
  }
  const bool first_line_open =
      within.substr(0, kMaxRequestLineBytes).find('\n') == std::string_view::npos;
  if (first_line_open && within.size() > kMaxRequestLineBytes)
    return refuse(414, "the request line is too long");
  if (bytes.size() >= max_head_bytes)
    return refuse(431,
                  "the request's head is larger than " + std::to_string(max_head_bytes) + " bytes");
  return 0;
}

Parsed<RequestHead> parse_head(std::string_view head_bytes) {
  RequestHead head;
  std::string_view rest = head_bytes;
  auto authority = parse_request_line(take_line(rest), head);
  if (!authority) return std::unexpected(std::move(authority).error());
  for (std::string_view line = take_line(rest); !line.empty(); line = take_line(rest)) {
    if (head.headers.size() == kMaxHeaderCount)
      return refuse(431, std::string("more headers than ") + std::to_string(kMaxHeaderCount));
    auto header = parse_header(line);
    if (!header) return std::unexpected(std::move(header).error());
    head.headers.push_back(std::move(*header));
  }
  auto host = settle_host(head, std::move(*authority));
  if (!host) return std::unexpected(std::move(host).error());
  return head;
}

Parsed<Framing> parse_framing(const Headers& headers, int minor_version, uint64_t max_body_bytes) {
  Framing framing;
  const auto codings = values_of(headers, "transfer-encoding");
  const auto lengths = values_of(headers, "content-length");
  if (!codings.empty()) {
    if (!lengths.empty())
      return refuse(400, "Content-Length and Transfer-Encoding exclude each other");
    if (minor_version == 0) return refuse(400, "Transfer-Encoding does not exist in HTTP/1.0");
    if (codings.size() > 1 || !equals_ignoring_case(codings[0], "chunked"))
      return refuse(501, "the only Transfer-Encoding supported is chunked");
    framing.chunked = true;
  }
  auto length = parse_length(lengths);
  if (!length) return std::unexpected(std::move(length).error());
  framing.content_length = *length;
  if (framing.content_length > max_body_bytes)
    return refuse(413, "the body has " + std::to_string(framing.content_length) +
                           " bytes; the limit is " + std::to_string(max_body_bytes));
  auto content = check_content(headers);
  if (!content) return std::unexpected(std::move(content).error());
  const auto connection = values_of(headers, "connection");
  framing.keep_alive = minor_version >= 1
                           ? !list_has(connection, "close")
                           : list_has(connection, "keep-alive") && !list_has(connection, "close");
  framing.expects_continue = minor_version >= 1 && !values_of(headers, "expect").empty();
  return framing;
}

Parsed<std::string> decode_path(std::string_view text) {
  std::string path;
  path.reserve(text.size());
  while (!text.empty()) {
    char c = text.front();
    size_t used = 1;
    if (c == '%') {
      unsigned value = 0;
      const auto parsed = text.size() < 3
                              ? std::from_chars_result{text.data(), std::errc::invalid_argument}
                              : std::from_chars(text.data() + 1, text.data() + 3, value, 16);
      if (parsed.ec != std::errc() || parsed.ptr != text.data() + 3)
        return refuse(400, "the request target has a '%' that no two hexadecimal digits follow");
      c = static_cast<char>(value);
      used = 3;
    }
    if (is_control(c)) return refuse(400, "the request target has a control character");
    path.push_back(c);
    text.remove_prefix(used);
  }
  if (!is_valid_utf8(path)) return refuse(400, "the request target is not valid UTF-8");
  return path;
}

}  // namespace hearth::http
