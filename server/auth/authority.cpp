#include "server/auth/authority.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

#include "server/auth/access_policy.h"

namespace hearth::auth {
namespace {

bool is_alnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 253 && std::ranges::all_of(text, [](char c) {
    return is_alnum(c) || c == '-' || c == '.' || c == '_';
  });
}

std::string_view without_brackets(std::string_view host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    return host.substr(1, host.size() - 2);
  return host;
}

std::optional<int> parse_port(std::string_view text) {
  int port = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), port);
  const bool whole = parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
  if (!whole || text.size() > 5 || port < 1 || port > 65535) return std::nullopt;
  return port;
}

}  // namespace

std::string to_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

bool is_ip_address(std::string_view host) {
  unsigned char bytes[16];
  const std::string text(host);
  return ::inet_pton(AF_INET, text.c_str(), bytes) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), bytes) == 1;
}

bool is_wildcard_host(std::string_view host) {
  host = without_brackets(host);
  return host.empty() || host == "0.0.0.0" || host == "::";
}

bool is_loopback_host(std::string_view host) {
  const std::string text = to_lower(without_brackets(host));
  if (text == "localhost" || text == "localhost.") return true;
  unsigned char v4[4];
  if (::inet_pton(AF_INET, text.c_str(), v4) == 1) return v4[0] == 127;
  in6_addr v6{};
  return ::inet_pton(AF_INET6, text.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

std::optional<Authority> parse_authority(std::string_view text) {
  Authority out;
  size_t end = text.find(':');
  if (text.starts_with('[')) {
    end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    out.host = to_lower(text.substr(1, end - 1));
    if (out.host.find(':') == std::string::npos || !is_ip_address(out.host)) return std::nullopt;
    ++end;
  } else {
    end = std::min(end, text.size());
    std::string_view name = text.substr(0, end);
    if (!is_name(name)) return std::nullopt;
    if (name.size() > 1 && name.back() == '.') name.remove_suffix(1);
    out.host = to_lower(name);
  }
  if (end == text.size()) return out;
  if (text[end] != ':') return std::nullopt;
  const auto port = parse_port(text.substr(end + 1));
  if (!port) return std::nullopt;
  out.port = *port;
  return out;
}

int default_port(std::string_view scheme) {
  if (scheme == "http") return 80;
  if (scheme == "https") return 443;
  return 0;
}

std::optional<Origin> parse_origin(std::string_view text) {
  const size_t mark = text.find("://");
  if (mark == std::string_view::npos || mark == 0) return std::nullopt;
  const std::string_view scheme = text.substr(0, mark);
  const bool valid = std::ranges::all_of(
      scheme, [](char c) { return is_alnum(c) || c == '+' || c == '-' || c == '.'; });
  auto authority = parse_authority(text.substr(mark + 3));
  if (!valid || !authority) return std::nullopt;
  Origin out{to_lower(scheme), std::move(*authority)};
  if (out.authority.port == 0) out.authority.port = default_port(out.scheme);
  return out;
}

}  // namespace hearth::auth
