#include "server/auth/access_policy.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <optional>

#include "server/auth/authority.h"
#include "server/auth/key_table.h"

namespace hearth::auth {
namespace {

using http::Headers;

constexpr size_t kMaxRequestedHeaders = 2048;  // bytes of Access-Control-Request-Headers

struct Field {
  int count = 0;
  std::string_view value;  // of the first
};

Field find_field(const Headers& headers, std::string_view lower_name) {
  Field out;
  for (const auto& [name, value] : headers) {
    if (name.size() != lower_name.size() || to_lower(name) != lower_name) continue;
    if (out.count++ == 0) out.value = value;
  }
  return out;
}

/// The machine's name, which no foreign DNS entry can stand for.
std::string machine_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return {};
  return to_lower(name.data());
}

/// A list of header names is passed back only if it is one.
bool is_header_list(std::string_view text) {
  return text.size() <= kMaxRequestedHeaders && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '-' || c == '_' || c == ',' || c == ' ';
         });
}

class Policy final : public AccessPolicy {
 public:
  explicit Policy(Options options) : options_(std::move(options)), machine_name_(machine_name()) {}

  /// Reads what create() has to refuse.
  Status prepare();

  Status reload(const std::vector<std::string>& api_keys) override;
  [[nodiscard]] bool requires_key() const override { return !keys()->empty(); }
  [[nodiscard]] Result<KeyIdentity> authenticate(const Headers& headers) const override;
  [[nodiscard]] Result<Headers> check_source(const Headers& headers) const override;
  [[nodiscard]] Result<Headers> preflight(const Headers& headers) const override;

 private:
  [[nodiscard]] Result<std::shared_ptr<const KeyTable>> read_keys(
      const std::vector<std::string>& api_keys) const;
  Status prepare_hosts();
  Status prepare_origins();
  [[nodiscard]] bool is_host_allowed(const std::string& host) const;
  [[nodiscard]] Result<Headers> check_origin(std::string_view text,
                                             const std::optional<Authority>& host) const;
  [[nodiscard]] std::shared_ptr<const KeyTable> keys() const {
    std::lock_guard lock(mutex_);
    return keys_;
  }

  const Options options_;
  const std::string machine_name_;
  std::vector<std::string> hosts_;  // lower case; ".suffix" for all names below
  std::vector<Origin> origins_;
  bool any_host_ = false;
  bool any_origin_ = false;
  bool null_origin_ = false;
  mutable std::mutex mutex_;
  std::shared_ptr<const KeyTable> keys_ = std::make_shared<KeyTable>();
};

Status Policy::prepare() {
  HEARTH_ASSIGN_OR_RETURN(keys_, read_keys(options_.api_keys));
  HEARTH_RETURN_IF_ERROR(prepare_hosts());
  HEARTH_RETURN_IF_ERROR(prepare_origins());
  if (!is_loopback_host(options_.host) && !options_.insecure && !requires_key())
    return fail(ErrorCode::kInvalidArgument,
                "host '" + options_.host +
                    "' is reachable from other machines: set --api-key or --api-key-file, or "
                    "--insecure to serve everybody",
                "host");
  return {};
}

Result<std::shared_ptr<const KeyTable>> Policy::read_keys(
    const std::vector<std::string>& api_keys) const {
  auto keys = std::make_shared<KeyTable>();
  for (const std::string& key : api_keys) HEARTH_RETURN_IF_ERROR(keys->add(key, {}, "--api-key"));
  if (!options_.api_key_file.empty()) HEARTH_RETURN_IF_ERROR(keys->add_file(options_.api_key_file));
  return keys;
}

Status Policy::reload(const std::vector<std::string>& api_keys) {
  HEARTH_ASSIGN_OR_RETURN(auto fresh, read_keys(api_keys));
  if (fresh->empty() != keys()->empty()) {
    return fail(ErrorCode::kInvalidArgument,
                fresh->empty() ? "no API key would be left; that takes a restart"
                               : "requests would begin to need an API key; that takes a restart");
  }
  std::lock_guard lock(mutex_);
  keys_ = std::move(fresh);
  return {};
}

Status Policy::prepare_hosts() {
  for (const std::string& entry : options_.allowed_hosts) {
    if (entry == "*") {
      any_host_ = true;
      continue;
    }
    const bool suffix = entry.starts_with('.');
    const auto parsed = parse_authority(std::string_view(entry).substr(suffix ? 1 : 0));
    if (!parsed || parsed->port != 0)
      return fail(ErrorCode::kInvalidArgument,
                  "--allowed-host '" + entry +
                      "' must be a host name or address without a port, '.suffix' or '*'",
                  "allowed_host");
    hosts_.push_back(suffix ? "." + parsed->host : parsed->host);
  }
  return {};
}

Status Policy::prepare_origins() {
  for (const std::string& entry : options_.allowed_origins) {
    if (entry == "*") {
      if (!requires_key() && !options_.insecure)
        return fail(ErrorCode::kInvalidArgument,
                    "--allowed-origin '*' lets every web page use the daemon: set --api-key or "
                    "--insecure",
                    "allowed_origin");
      any_origin_ = true;
    } else if (entry == "null") {
      null_origin_ = true;
    } else if (auto origin = parse_origin(entry)) {
      origins_.push_back(std::move(*origin));
    } else {
      return fail(ErrorCode::kInvalidArgument,
                  "--allowed-origin '" + entry +
                      "' must be scheme://host[:port] without a path, 'null' or '*'",
                  "allowed_origin");
    }
  }
  return {};
}

Result<KeyIdentity> Policy::authenticate(const Headers& headers) const {
  const auto table = keys();
  if (table->empty()) return KeyIdentity{"anonymous", {}};
  const Field field = find_field(headers, "authorization");
  if (field.count == 0)
    return fail(ErrorCode::kUnauthorized,
                "no API key was sent; expected the header 'Authorization: Bearer KEY'");
  constexpr std::string_view kScheme = "bearer ";
  if (field.count > 1 || to_lower(field.value.substr(0, kScheme.size())) != kScheme)
    return fail(ErrorCode::kUnauthorized,
                "the Authorization header must be given once, as 'Bearer KEY'");
  std::string_view key = field.value.substr(kScheme.size());
  key.remove_prefix(std::min(key.find_first_not_of(' '), key.size()));
  const KeyIdentity* identity = table->find(key);
  if (identity == nullptr) return fail(ErrorCode::kUnauthorized, "the API key is not valid");
  return *identity;
}

bool Policy::is_host_allowed(const std::string& host) const {
  if (any_host_ || is_loopback_host(host)) return true;
  const auto bound = parse_authority(options_.host);
  if ((bound && bound->host == host) || options_.host == host) return true;
  if (is_wildcard_host(options_.host) &&
      (is_ip_address(host) || (!machine_name_.empty() && host == machine_name_)))
    return true;
  return std::ranges::any_of(hosts_, [&](const std::string& allowed) {
    return allowed.starts_with('.') ? host.ends_with(allowed) : host == allowed;
  });
}

Result<Headers> Policy::check_source(const Headers& headers) const {
  const Field host_field = find_field(headers, "host");
  std::optional<Authority> host;
  // Browsers always send Host; a client without it (HTTP/1.0) cannot have been lured here.
  if (host_field.count > 0) {
    host = parse_authority(host_field.value);
    if (host_field.count > 1 || !host)
      return fail(ErrorCode::kForbidden, "the Host header is not a host name", "Host");
    if (!is_host_allowed(host->host))
      return fail(ErrorCode::kForbidden,
                  "this daemon does not answer to the host name '" + host->host +
                      "'; --allowed-host adds names",
                  "Host");
  }
  const Field origin = find_field(headers, "origin");
  if (origin.count == 0) return Headers{};
  if (origin.count > 1) return fail(ErrorCode::kForbidden, "more than one Origin header", "Origin");
  return check_origin(origin.value, host);
}

Result<Headers> Policy::check_origin(std::string_view text,
                                     const std::optional<Authority>& host) const {
  const auto origin = parse_origin(text);
  if (origin && host) {
    Authority own = *host;
    if (own.port == 0) own.port = default_port(origin->scheme);
    if ((origin->scheme == "http" || origin->scheme == "https") && own == origin->authority)
      return Headers{};
  }
  const bool listed = (origin && std::ranges::find(origins_, *origin) != origins_.end()) ||
                      (null_origin_ && text == "null");
  if (!listed && !any_origin_)
    return fail(ErrorCode::kForbidden,
                "pages from this origin may not use the daemon; --allowed-origin adds origins",
                "Origin");
  return Headers{{"Access-Control-Allow-Origin", listed ? std::string(text) : "*"},
                 {"Access-Control-Expose-Headers", "x-request-id, retry-after"},
                 {"Vary", "Origin"}};
}

Result<Headers> Policy::preflight(const Headers& headers) const {
  HEARTH_ASSIGN_OR_RETURN(Headers out, check_source(headers));
  if (out.empty()) return out;  // our own pages need no permission
  out.emplace_back("Access-Control-Allow-Methods", "GET, POST, OPTIONS");
  const Field wanted = find_field(headers, "access-control-request-headers");
  // The origin is trusted with requests, so it may choose their headers: SDKs send many.
  if (wanted.count > 0) {
    if (!is_header_list(wanted.value))
      return fail(ErrorCode::kForbidden, "Access-Control-Request-Headers is not a list of names",
                  "Access-Control-Request-Headers");
    out.emplace_back("Access-Control-Allow-Headers", std::string(wanted.value));
  }
  if (find_field(headers, "access-control-request-private-network").value == "true")
    out.emplace_back("Access-Control-Allow-Private-Network", "true");
  out.emplace_back("Access-Control-Max-Age", "600");
  return out;
}

}  // namespace

Result<std::unique_ptr<AccessPolicy>> AccessPolicy::create(Options options) {
  auto policy = std::make_unique<Policy>(std::move(options));
  HEARTH_RETURN_IF_ERROR(policy->prepare());
  return policy;
}

}  // namespace hearth::auth
