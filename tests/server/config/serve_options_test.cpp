#include "server/config/serve_options.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "server/config/config_file.h"
#include "server/config/option_table.h"

namespace hearth {
namespace {

using Args = std::vector<std::string>;

/// A file that is gone with the test.
class TempFile {
 public:
  explicit TempFile(const std::string& text) {
    char path[] = "/tmp/hearth_config_XXXXXX";
    const int fd = ::mkstemp(path);
    REQUIRE(fd >= 0);
    ::close(fd);
    path_ = path;
    std::ofstream(path_) << text;
  }
  ~TempFile() { std::filesystem::remove(path_); }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

ServeOptions parse(const Args& args, const Environment& environment = {}) {
  auto parsed = parse_serve_options(args, environment);
  if (!parsed) FAIL(parsed.error().message);
  return std::move(parsed->options);
}

std::string why_not(const Args& args, const Environment& environment = {}) {
  auto parsed = parse_serve_options(args, environment);
  return parsed ? "accepted" : parsed.error().message;
}

/// The message for a file with this text, with the path cut down to FILE.
std::string why_not_file(const std::string& text) {
  const auto parsed = parse_config(text, "FILE");
  if (!parsed) return parsed.error().message;
  const TempFile file(text);
  std::string message = why_not({"--config", file.path()});
  const size_t at = message.find(file.path());
  return at == std::string::npos ? message : message.replace(at, file.path().size(), "FILE");
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

std::string read(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("without anything the defaults hold") {
  const ServeOptions options = parse({});
  CHECK(options.model.empty());
  CHECK(options.host == "127.0.0.1");
  CHECK(options.port == 8080);
  CHECK(options.kv_type == KvType::kF16);
  CHECK(options.gpu_layers == GpuLayers{GpuLayers::Kind::kCount, 0});
  CHECK(options.api_keys.empty());
  CHECK_FALSE(options.insecure);
  CHECK_FALSE(options.fast_math_order);
}

TEST_CASE("flags as users write them") {
  const ServeOptions options =
      parse({"-m", "a.gguf", "-t", "4", "-c", "2048", "-ngl", "12", "--port=0", "--kv-type", "q8_0",
             "--api-key", "k1", "--api-key=k2", "--insecure", "--parallel", "3", "--isa=avx2"});
  CHECK(options.model == "a.gguf");
  CHECK(options.threads == 4);
  CHECK(options.context_tokens == 2048);
  CHECK(options.gpu_layers == GpuLayers{GpuLayers::Kind::kCount, 12});
  CHECK(options.port == 0);
  CHECK(options.kv_type == KvType::kQ8_0);
  CHECK(options.api_keys == Args{"k1", "k2"});
  CHECK(options.insecure);
  CHECK(options.parallel == 3);
  CHECK(options.isa == "avx2");
  CHECK(parse({"-ngl", "all"}).gpu_layers.kind == GpuLayers::Kind::kAll);
  CHECK(parse({"--gpu-layers=auto"}).gpu_layers.kind == GpuLayers::Kind::kAuto);
  CHECK_FALSE(parse({"--insecure=false"}).insecure);
  CHECK(parse({"--fast-math-order"}).fast_math_order);
  CHECK(parse({"--ctx-size", "64", "-np", "2"}).context_tokens == 64);
}

TEST_CASE("flags win over variables, variables over the file, the file over defaults") {
  const TempFile file(
      "[server]\nport = 1\nhost = \"::1\"\nmax_body_mb = 3\n[access]\n"
      "api_key = [\"f1\", \"f2\"]\n[engine]\ngpu_layers = 3\nfast_math_order = true\n");
  const Environment environment{{"HEARTH_CONFIG", file.path()},
                                {"HEARTH_PORT", "2"},
                                {"HEARTH_HOST", "localhost"},
                                {"HEARTH_API_KEY", "e1,e2"}};
  auto parsed = parse_serve_options(Args{"--port", "4"}, environment);
  REQUIRE(parsed);
  CHECK(parsed->options.port == 4);
  CHECK(parsed->options.host == "localhost");
  CHECK(parsed->options.max_body_mb == 3);
  CHECK(parsed->options.api_keys == Args{"e1", "e2"});
  CHECK(parsed->options.gpu_layers == GpuLayers{GpuLayers::Kind::kCount, 3});
  CHECK(parsed->options.fast_math_order);
  CHECK(parsed->options.config == file.path());
  CHECK(parsed->origins.at("--port") == "--port");
  CHECK(parsed->origins.at("--host") == "HEARTH_HOST");
  CHECK(parsed->origins.at("--max-body-mb") == file.path() + ":4");
  CHECK_FALSE(parsed->origins.contains("--threads"));
  const TempFile other("[server]\nport = 9\n");
  CHECK(parse({"--config", other.path()}, {{"HEARTH_CONFIG", "/nonexistent"}}).port == 9);
}

TEST_CASE("errors in flags name the flag, the value and what was expected") {
  CHECK(why_not({"--prot", "1"}) == "unknown option '--prot'; --help lists the options");
  CHECK(contains(why_not({"--prot=secret"}), "'--prot';"));
  CHECK(contains(why_not({"model.gguf"}), "unexpected argument 'model.gguf'"));
  CHECK(why_not({"--port", "65536"}) == "--port: '65536' is not a whole number from 0 to 65535");
  for (const char* bad : {"", "-1", "8o80", "80 ", " 80", "0x50", "1.5", "+1",
                          "99999999999999999999", "-99999999999999999999"})
    CHECK_MESSAGE(contains(why_not({"--port", bad}), "--port: '"), bad);
  CHECK(contains(why_not({"--port"}), "--port: a value is missing"));
  CHECK(contains(why_not({"--port", "--host"}), "--port: a value is missing"));
  CHECK(contains(why_not({"--port", "1", "--port", "2"}), "more than once"));
  CHECK(contains(why_not({"--kv-type", "q4"}), "one of f16|q8_0"));
  CHECK(contains(why_not({"--isa", "avx"}), "one of auto|ref|avx2|avx512|neon"));
  CHECK(contains(why_not({"--log-level", ""}), "--log-level"));
  CHECK(contains(why_not({"-ngl", "many"}), "-ngl: 'many' is not auto, all or"));
  CHECK(contains(why_not({"-ngl", "-1"}), "-ngl: '-1'"));
  CHECK(contains(why_not({"--insecure=maybe"}), "true or false"));
  CHECK(contains(why_not({"--host", ""}), "--host"));
  CHECK(contains(why_not({"--host", "a\nb"}), "control"));
  CHECK(contains(why_not({"--api-key", ""}), "--api-key: the value"));
  CHECK_FALSE(contains(why_not({"--api-key", std::string(600, 'k')}), "kkk"));
}

TEST_CASE("variables that are no options are told, not taken") {
  const std::vector<std::string> none;
  const auto parsed = parse_serve_options(none, {{"HEARTH_PROT", "1"},
                                                 {"HEARTH_SERVICE_HOST", "10.0.0.7"},
                                                 {"HEARTH_PORT", "tcp://10.0.0.7:80"}});
  REQUIRE(parsed.has_value());
  CHECK(parsed->options.port == 8080);
  CHECK(parsed->ignored ==
        std::vector<std::string>{"HEARTH_PORT is the address of a service, not a port",
                                 "HEARTH_PROT: no option has this variable",
                                 "HEARTH_SERVICE_HOST: no option has this variable"});
}

TEST_CASE("errors in variables name the variable") {
  CHECK(why_not({}, {{"HEARTH_PORT", "x"}}) ==
        "HEARTH_PORT: 'x' is not a whole number from 0 to 65535");
  CHECK(contains(why_not({}, {{"HEARTH_API_KEY", ""}}), "HEARTH_API_KEY is empty"));
  CHECK(contains(why_not({}, {{"HEARTH_API_KEY", "a,,b"}}), "HEARTH_API_KEY: the value"));
  CHECK(contains(why_not({"--port", "1"}, {{"HEARTH_PORT", "x"}}), "HEARTH_PORT"));
}

TEST_CASE("errors in the file name the file, the line and the key") {
  CHECK(why_not_file("\n[server]\nport = 99999\n") ==
        "FILE:3: server.port: '99999' is not a whole number from 0 to 65535");
  CHECK(why_not_file("[server]\nprot = 1\n") == "FILE:2: unknown key 'server.prot'");
  CHECK(why_not_file("[sever]\nport = 1\n") == "FILE:1: unknown section [sever]");
  CHECK(why_not_file("port = 1\n") ==
        "FILE:1: key 'port' stands outside of a section; did you mean it in [server]?");
  CHECK(why_not_file("[server]\nport = \"80\"\n") ==
        "FILE:2: 'server.port' must be a whole number");
  CHECK(why_not_file("[server]\nhost = 1\n") == "FILE:2: 'server.host' must be a text in quotes");
  CHECK(contains(why_not_file("[access]\napi_key = \"k\"\n"), "must be a list of texts"));
  CHECK(contains(why_not_file("[access]\napi_key = [1]\n"), "must be a list of texts"));
  CHECK(contains(why_not_file("[access]\ninsecure = 1\n"), "must be true or false"));
  CHECK(contains(why_not_file("[engine]\ngpu_layers = \"some\"\n"), "FILE:2: engine.gpu_layers"));
  CHECK(contains(why_not_file("[server]\nport = 1\nport = 2\n"), "FILE:3"));
  CHECK(contains(why_not_file("[server]\nport = \n"), "FILE:2"));
  CHECK(contains(why_not_file("[server]\nhost = \"a"), "FILE:2"));
  CHECK(contains(why_not_file("[server.port]\nx = 1\n"), "server.port"));
  CHECK(contains(why_not_file("b = 1\na = 2\n"), "FILE:1: key 'b'"));
  CHECK(contains(why_not_file("[server]\nhost = \"\xFF\"\n"), "FILE:2"));
  CHECK(contains(why_not({"--config", "/nonexistent/x.toml"}), "/nonexistent/x.toml"));
  CHECK(contains(why_not({"--config", "/tmp"}), "/tmp"));
  const TempFile large(std::string(kMaxConfigBytes + 1, '\n'));
  CHECK(contains(why_not({"--config", large.path()}), "larger than"));
  // Deep nesting ends in an error, not in a stack overflow.
  CHECK(contains(why_not_file("x = " + std::string(100'000, '[')), "FILE:1"));
}

TEST_CASE("the table is sound") {
  std::set<std::string_view> seen;
  for (const OptionRow& row : option_table()) {
    CAPTURE(row.flag);
    CHECK(row.flag.starts_with("--"));
    CHECK(row.variable.starts_with("HEARTH_"));
    CHECK(row.help.ends_with('.'));
    // The variable is the flag, spelled as a variable.
    std::string variable = "HEARTH_";
    for (const char c : row.flag.substr(2))
      variable += c == '-' ? '_' : static_cast<char>(std::toupper(c));
    CHECK(row.variable == variable);
    for (const std::string_view name : {row.flag, row.short_flag, row.alias, row.variable})
      CHECK((name.empty() || seen.insert(name).second));
    if (!row.section.empty()) CHECK(find_by_key(row.section, row.key) == &row);
    CHECK((row.is_switch() || !row.value_name.empty()));
  }
}

TEST_CASE("--help shows every option") {
  const auto parsed = parse_serve_options(Args{"--help"}, {{"HEARTH_UNKNOWN", "1"}});
  REQUIRE(parsed);
  CHECK(parsed->help);
  const std::string help = render_serve_help();
  for (const OptionRow& row : option_table()) {
    CAPTURE(row.flag);
    CHECK(contains(help, row.flag) == (row.section != "debug"));
    if (row.section == "debug") continue;
    CHECK(contains(help, row.short_flag));
    CHECK(contains(help, row.variable));
  }
  std::stringstream lines(help);
  for (std::string line; std::getline(lines, line);) CHECK(line.size() <= 100);
}

TEST_CASE("config/hearth.toml is the table's rendering") {
  CHECK(read("config/hearth.toml") == render_default_toml());
}

TEST_CASE("the defaults of config/hearth.toml are the defaults") {
  // With the '#' before each key taken away it is a file that changes nothing.
  std::stringstream lines(render_default_toml());
  std::string active;
  size_t keys = 0;
  for (std::string line; std::getline(lines, line);) {
    const bool key = line.starts_with('#') && !line.starts_with("# ");
    keys += key ? 1 : 0;
    active += (key ? line.substr(1) : line) + "\n";
  }
  CHECK(keys == option_table().size() - 3);  // all but --config and those for tests
  const TempFile file(active);
  const ServeOptions options = parse({"--config", file.path()});
  const ServeOptions defaults = default_serve_options();
  for (const OptionRow& row : option_table()) {
    if (row.section.empty()) continue;
    CAPTURE(row.flag);
    CHECK(std::visit([&](auto at) { return options.*at == defaults.*at; }, row.field));
  }
}

TEST_CASE("options that differ are named by their flags") {
  const ServeOptions before = default_serve_options();
  ServeOptions after = before;
  CHECK(changed_options(before, after).empty());
  after.port = 1;
  after.api_keys = {"k"};
  after.gpu_layers.kind = GpuLayers::Kind::kAll;
  CHECK(changed_options(before, after) ==
        std::vector<std::string_view>{"--port", "--api-key", "--gpu-layers"});
}

}  // namespace hearth
