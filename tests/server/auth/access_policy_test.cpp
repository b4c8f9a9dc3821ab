#include "server/auth/access_policy.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace hearth::auth {
namespace {

using http::Headers;

/// A file that is gone with the test.
class TempFile {
 public:
  explicit TempFile(const std::string& text) {
    char path[] = "/tmp/hearth_keys_XXXXXX";
    const int fd = ::mkstemp(path);
    REQUIRE(fd >= 0);
    ::close(fd);
    path_ = path;
    write(text);
  }
  ~TempFile() { std::filesystem::remove(path_); }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;
  void write(const std::string& text) { std::ofstream(path_) << text; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::unique_ptr<AccessPolicy> make(AccessPolicy::Options options) {
  auto policy = AccessPolicy::create(std::move(options));
  if (!policy) FAIL(policy.error().message);
  return std::move(*policy);
}

std::string why_not(AccessPolicy::Options options) {
  auto policy = AccessPolicy::create(std::move(options));
  return policy ? "" : policy.error().message;
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

Headers bearer(const std::string& key) { return {{"Authorization", "Bearer " + key}}; }

Headers from(const std::string& host, const std::string& origin = "") {
  Headers headers{{"Host", host}};
  if (!origin.empty()) headers.emplace_back("Origin", origin);
  return headers;
}

std::string value_of(const Headers& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

}  // namespace

TEST_CASE("without keys everybody is anonymous") {
  const auto policy = make({});
  CHECK_FALSE(policy->requires_key());
  CHECK(policy->authenticate({})->name == "anonymous");
  CHECK(policy->authenticate(bearer("anything"))->id.empty());
}

TEST_CASE("with keys a request needs one of them") {
  const auto policy = make({.api_keys = {"sk-one", "sk-two"}});
  CHECK(policy->requires_key());
  const auto one = policy->authenticate(bearer("sk-one"));
  const auto two = policy->authenticate({{"authorization", "bEARER   sk-two"}});
  REQUIRE(one);
  REQUIRE(two);
  CHECK(one->name == "key-1");
  CHECK(two->name == "key-2");
  CHECK(one->id.size() == 16);
  CHECK(one->id != two->id);
  for (const Headers& bad :
       {Headers{}, bearer(""), bearer("sk-on"), bearer("sk-one2"), bearer("SK-ONE"),
        Headers{{"Authorization", "Basic sk-one"}}, Headers{{"Authorization", "sk-one"}},
        Headers{{"Authorization", "Bearer sk-one"}, {"Authorization", "Bearer sk-one"}}}) {
    const auto refused = policy->authenticate(bad);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kUnauthorized);
    CHECK_FALSE(contains(refused.error().message, "sk-on"));
  }
}

TEST_CASE("a key file has comments, names, and is read again on reload") {
  TempFile file("# team keys\n\n  sk-plain  \r\nalice:sk-alice\n");
  const auto policy = make({.api_keys = {"sk-flag"}, .api_key_file = file.path()});
  CHECK(policy->authenticate(bearer("sk-plain"))->name == "key-2");
  CHECK(policy->authenticate(bearer("sk-alice"))->name == "alice");
  CHECK(policy->authenticate(bearer("sk-flag")));
  CHECK_FALSE(policy->authenticate(bearer("alice:sk-alice")));
  const std::string id = policy->authenticate(bearer("sk-alice"))->id;

  file.write("bob:sk-bob\nalice:sk-alice\n");
  CHECK(policy->reload({"sk-flag"}));
  CHECK(policy->authenticate(bearer("sk-bob"))->name == "bob");
  CHECK(policy->authenticate(bearer("sk-alice"))->id == id);
  CHECK(policy->authenticate(bearer("sk-flag")));
  CHECK_FALSE(policy->authenticate(bearer("sk-plain")));

  file.write("b b:x\n");
  CHECK_FALSE(policy->reload({"sk-flag"}));
  CHECK(policy->authenticate(bearer("sk-bob")));  // the old keys stay

  file.write("carol:sk-carol\n");
  CHECK(policy->reload({}));  // those of the options may go as well
  CHECK(policy->authenticate(bearer("sk-carol")));
  CHECK_FALSE(policy->authenticate(bearer("sk-flag")));
}

TEST_CASE("a reload neither opens a daemon that needs keys nor closes one that does not") {
  const auto locked = make({.api_keys = {"sk-a"}});
  CHECK_FALSE(locked->reload({}));
  CHECK(locked->authenticate(bearer("sk-a")));
  CHECK(locked->reload({"sk-b"}));
  CHECK_FALSE(locked->authenticate(bearer("sk-a")));
  const auto open = make({});
  CHECK(open->reload({}));
  CHECK_FALSE(open->reload({"sk-a"}));
  CHECK_FALSE(open->requires_key());
}

TEST_CASE("bad key files are refused with file and line, and without the key") {
  TempFile file("");
  const auto refused = [&](const std::string& text) {
    file.write(text);
    return why_not({.api_key_file = file.path()});
  };
  CHECK(contains(refused("# nothing\n"), "has no key"));
  CHECK(contains(refused("sk-a\nsk-b c\n"), ":2: "));
  CHECK(contains(refused("sk-a\n:sk-b\n"), ":2: "));
  CHECK(contains(refused("sk-a\nname:\n"), "empty"));
  CHECK(contains(refused("sk-a\nx:sk-a\n"), "before"));
  CHECK_FALSE(contains(refused("sk-a\nx:sk-a\n"), "sk-a"));
  CHECK(contains(refused("caf\xC3\xA9\n"), "ASCII"));
  CHECK(contains(refused(std::string((1 << 20) + 1, '\n')), "larger than 1048576"));
  CHECK(contains(why_not({.api_key_file = "/nonexistent/keys"}), "/nonexistent/keys"));
  CHECK(contains(why_not({.api_keys = {""}}), "--api-key"));
}

TEST_CASE("beyond loopback a key is needed, or --insecure") {
  for (const char* host : {"0.0.0.0", "::", "192.0.2.1", "example.org", ""}) {
    CAPTURE(host);
    CHECK(contains(why_not({.host = host}), "--api-key"));
    CHECK(why_not({.host = host, .api_keys = {"k"}}).empty());
    CHECK(why_not({.host = host, .insecure = true}).empty());
  }
  for (const char* host : {"127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost", "LocalHost"}) {
    CAPTURE(host);
    CHECK(why_not({.host = host}).empty());
  }
}

TEST_CASE("host names that a page could have rebound are refused") {
  const auto policy = make({.allowed_hosts = {"My.Name", ".lan.example"}});
  for (const char* host : {"localhost", "localhost:8080", "LOCALHOST", "localhost.", "127.0.0.1:1",
                           "[::1]:8080", "[::1]", "my.name:80", "a.lan.example", "x.y.lan.example"})
    CHECK_MESSAGE(policy->check_source(from(host)), host);
  CHECK(policy->check_source({}));  // HTTP/1.0
  for (const char* host :
       {"evil.example", "evil.example:8080", "localhost.evil.example", "192.0.2.1", "lan.example",
        "evil-lan.example", "127.0.0.1.evil.example", "", "local host", "localhost:", "localhost:0",
        "localhost:99999", "localhost:80:80", "[::1", "[::1]x", "[localhost]", "::1", "a@localhost",
        "0x7f.1"}) {
    const auto refused = policy->check_source(from(host));
    REQUIRE_MESSAGE(!refused, host);
    CHECK(refused.error().code == ErrorCode::kForbidden);
  }
  CHECK_FALSE(policy->check_source({{"Host", "localhost"}, {"host", "localhost"}}));
  CHECK(make({.allowed_hosts = {"*"}})->check_source(from("any.example")));
  CHECK(contains(why_not({.allowed_hosts = {"a:80"}}), "--allowed-host"));
  CHECK(contains(why_not({.allowed_hosts = {"http://a"}}), "--allowed-host"));
}

TEST_CASE("a daemon on all addresses answers to any address and to the machine's name") {
  const auto policy = make({.host = "0.0.0.0", .api_keys = {"k"}});
  CHECK(policy->check_source(from("192.0.2.1:8080")));
  CHECK(policy->check_source(from("[2001:db8::1]:8080")));
  char name[256] = "";
  REQUIRE(::gethostname(name, sizeof name - 1) == 0);
  CHECK(policy->check_source(from(name)));
  CHECK_FALSE(policy->check_source(from("evil.example")));
  const auto bound = make({.host = "192.0.2.7", .api_keys = {"k"}});
  CHECK(bound->check_source(from("192.0.2.7:8080")));
  CHECK_FALSE(bound->check_source(from("192.0.2.8:8080")));
}

TEST_CASE("pages of other origins are refused, our own need no CORS") {
  const auto policy = make({});
  for (const auto& [host, origin] : {std::pair{"localhost:8080", "http://localhost:8080"},
                                     {"localhost", "http://localhost"},
                                     {"localhost", "http://localhost:80"},
                                     {"LOCALHOST:8080", "http://localhost:8080"},
                                     {"localhost", "https://localhost"},
                                     {"[::1]:8080", "http://[::1]:8080"}}) {
    const auto own = policy->check_source(from(host, origin));
    REQUIRE_MESSAGE(own, origin);
    CHECK(own->empty());
  }
  for (const char* origin :
       {"http://evil.example", "http://localhost:3000", "http://localhost", "null", "", "x",
        "http://localhost:8080/", "http://localhost:8080.evil.example", "file://localhost:8080",
        "http://127.0.0.1:8080"}) {
    Headers headers = from("localhost:8080");
    headers.emplace_back("Origin", origin);
    const auto refused = policy->check_source(headers);
    REQUIRE_MESSAGE(!refused, origin);
    CHECK(refused.error().code == ErrorCode::kForbidden);
    CHECK(contains(refused.error().message, "--allowed-origin"));
  }
}

TEST_CASE("an allowed origin gets exactly its CORS headers") {
  const auto policy =
      make({.allowed_origins = {"https://App.example", "chrome-extension://abc", "null"}});
  const auto headers = policy->check_source(from("localhost", "https://app.example"));
  REQUIRE(headers);
  CHECK(value_of(*headers, "Access-Control-Allow-Origin") == "https://app.example");
  CHECK(value_of(*headers, "Vary") == "Origin");
  CHECK(value_of(*headers, "Access-Control-Allow-Credentials").empty());
  CHECK(policy->check_source(from("localhost", "https://app.example:443")));
  CHECK(policy->check_source(from("localhost", "chrome-extension://abc")));
  CHECK(policy->check_source(from("localhost", "null")));
  CHECK_FALSE(policy->check_source(from("localhost", "http://app.example")));
  CHECK_FALSE(policy->check_source(from("localhost", "https://app.example:8443")));
  CHECK_FALSE(policy->check_source(from("evil.example", "https://app.example")));
  for (const char* bad : {"app.example", "https://a/path", "https://", "https://a b"})
    CHECK(contains(why_not({.allowed_origins = {bad}}), "--allowed-origin"));
}

TEST_CASE("any origin is for daemons with keys") {
  CHECK(contains(why_not({.allowed_origins = {"*"}}), "--api-key"));
  const auto policy = make({.api_keys = {"k"}, .allowed_origins = {"*"}});
  const auto headers = policy->check_source(from("localhost", "https://any.example"));
  REQUIRE(headers);
  CHECK(value_of(*headers, "Access-Control-Allow-Origin") == "*");
}

TEST_CASE("a preflight is answered for allowed origins only") {
  const auto policy = make({.api_keys = {"k"}, .allowed_origins = {"https://app.example"}});
  Headers request = from("localhost", "https://app.example");
  request.emplace_back("Access-Control-Request-Method", "POST");
  request.emplace_back("Access-Control-Request-Headers",
                       "authorization,content-type,x-stainless-os");
  const auto headers = policy->preflight(request);
  REQUIRE(headers);
  CHECK(value_of(*headers, "Access-Control-Allow-Origin") == "https://app.example");
  CHECK(value_of(*headers, "Access-Control-Allow-Methods") == "GET, POST, OPTIONS");
  CHECK(value_of(*headers, "Access-Control-Allow-Headers") ==
        "authorization,content-type,x-stainless-os");
  CHECK(value_of(*headers, "Access-Control-Max-Age") == "600");
  CHECK(value_of(*headers, "Access-Control-Allow-Private-Network").empty());
  request.emplace_back("Access-Control-Request-Private-Network", "true");
  CHECK(value_of(*policy->preflight(request), "Access-Control-Allow-Private-Network") == "true");
  CHECK_FALSE(policy->preflight(from("localhost", "https://evil.example")));
  Headers odd = from("localhost", "https://app.example");
  odd.emplace_back("Access-Control-Request-Headers", "a:b");
  CHECK_FALSE(policy->preflight(odd));
}

}  // namespace hearth::auth
