#pragma once
// Host names, ports and origins as headers carry them (RFC 9110 7.2, RFC 6454).

#include <optional>
#include <string>
#include <string_view>

namespace hearth::auth {

/// "name:port", "192.0.2.1" or "[2001:db8::1]:port".
struct Authority {
  std::string host;  // lower case, without brackets and a final dot
  int port = 0;      // 0: none given

  bool operator==(const Authority&) const = default;
};

/// Nothing if `text` is not an authority.
std::optional<Authority> parse_authority(std::string_view text);

/// "scheme://host[:port]", nothing else.
struct Origin {
  std::string scheme;   // lower case
  Authority authority;  // with the scheme's port if none is given and the scheme has one

  bool operator==(const Origin&) const = default;
};

/// Nothing if `text` is not an origin; "null" is none.
std::optional<Origin> parse_origin(std::string_view text);

/// 80 for http, 443 for https, else 0.
int default_port(std::string_view scheme);

/// True for 0.0.0.0, :: and the empty name, which mean all addresses of the machine.
bool is_wildcard_host(std::string_view host);
/// True for an IPv4 or IPv6 address, without brackets.
bool is_ip_address(std::string_view host);
std::string to_lower(std::string_view text);

}  // namespace hearth::auth
