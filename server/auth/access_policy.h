#pragma once
// Who may talk to the daemon: API keys, the Host header (DNS rebinding) and the Origin header
// (other sites' pages in a browser). Looks at headers only; knows no sockets and no routes.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "server/http/http_server.h"

namespace hearth::auth {

/// Whose request this is, for fair shares, cache salts and log lines. Not secret.
struct KeyIdentity {
  std::string name;  // from the key file; else "key-" and its place; "anonymous" if none is needed
  std::string id;    // 16 hex digits of the key's SHA-256; empty if no key is needed

  bool operator==(const KeyIdentity&) const = default;
};

/// Any thread may call any member.
class AccessPolicy {
 public:
  struct Options {
    std::string host = "127.0.0.1";          // the address that the server binds
    std::vector<std::string> api_keys = {};  // as they are sent
    std::string api_key_file = {};           // lines: KEY or NAME:KEY; '#' starts a comment line
    std::vector<std::string> allowed_hosts = {};    // "name", ".suffix" or "*" for any
    std::vector<std::string> allowed_origins = {};  // "https://app.example"; "*": any, needs keys
    bool insecure = false;                          // bind beyond loopback without a key
  };

  /// Reads the key file. Refuses, naming the option: a host beyond loopback without a key (unless
  /// insecure), a key file that is missing, malformed, empty or over 1 MiB, keys with blanks or
  /// given twice, allowed hosts and origins that can match nothing. Besides `allowed_hosts`, these
  /// names are answered to: loopback's, `host`, and if the daemon listens on all addresses, any IP
  /// address and the machine's name (a page can rebind neither).
  static Result<std::unique_ptr<AccessPolicy>> create(Options options);
  virtual ~AccessPolicy() = default;

  /// Takes these keys and those of the key file, read again (SIGHUP). On an error the old keys
  /// stay; it is one too if requests would begin to need a key, or cease to.
  virtual Status reload(const std::vector<std::string>& api_keys) = 0;

  /// True if requests need a key.
  [[nodiscard]] virtual bool requires_key() const = 0;

  /// The key of `Authorization: Bearer KEY`. kUnauthorized if it is missing or wrong; takes the
  /// same time for every wrong key.
  [[nodiscard]] virtual Result<KeyIdentity> authenticate(const http::Headers& headers) const = 0;

  /// Host and Origin; for every request, before anything else. kForbidden names the value and the
  /// option that would allow it. Otherwise the CORS headers that the answer must carry: none for
  /// requests without Origin or from our own pages.
  [[nodiscard]] virtual Result<http::Headers> check_source(const http::Headers& headers) const = 0;

  /// The headers of the 204 that answers a CORS preflight (OPTIONS with Origin and
  /// Access-Control-Request-Method). Same refusals as check_source(). Needs no key: browsers send
  /// none with it.
  [[nodiscard]] virtual Result<http::Headers> preflight(const http::Headers& headers) const = 0;
};

/// True for localhost, 127.0.0.0/8 and ::1, with or without brackets.
bool is_loopback_host(std::string_view host);

}  // namespace hearth::auth
