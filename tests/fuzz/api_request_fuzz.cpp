// Any body on any endpoint that takes one: an answer, never a crash, and never a 5xx. The first
// byte chooses the endpoint.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "base/check.h"
#include "base/log.h"
#include "server/api/api.h"
#include "tests/support/fake_tokenizer.h"

namespace {

using namespace hearth;

// Every choice ends at once.
class EndedGeneration final : public Generation {
 public:
  explicit EndedGeneration(int32_t choices) : choices_(choices) {}
  std::optional<EngineEvent> next(std::chrono::milliseconds /*timeout*/) override {
    HEARTH_CHECK(next_ < choices_, "asked for an event after the last");
    return FinishEvent{.choice = next_++};
  }
  void stop_choice(int32_t /*choice*/) override {}

 private:
  int32_t choices_;
  int32_t next_ = 0;
};

class EndedService final : public GenerationService {
 public:
  Result<std::unique_ptr<Generation>> submit(GenerateRequest request) override {
    HEARTH_CHECK(!request.prompt.empty(), "an empty prompt came through");
    HEARTH_CHECK(request.max_tokens > 0, "max_tokens 0 came through");
    return std::make_unique<EndedGeneration>(request.num_choices);
  }
};

class CheckedResponse final : public http::Response {
 public:
  void send(int status, std::string_view /*type*/, std::string body,
            http::Headers /*extra*/) override {
    HEARTH_CHECK(status >= 200 && status < 500, body.c_str());
    ++answers;
  }
  void begin_stream(int /*status*/, std::string_view /*type*/, http::Headers /*extra*/) override {
    ++answers;
  }
  bool write(std::string_view /*bytes*/) override { return true; }
  bool client_gone() override { return false; }

  int answers = 0;
};

struct Daemon {
  hearth::testing::FakeTokenizer tokenizer;
  EndedService service;
  Result<ChatTemplate> chat_template = ChatTemplate::parse(
      "{{ bos_token }}{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}"
      "{% for c in m.tool_calls or [] %}{{ c.function.arguments | tojson }}{% endfor %}<|end|>"
      "{% endfor %}");
  Api api{ApiContext{
      .tokenizer = tokenizer,
      .chat_template = &*chat_template,
      .template_tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}},
      .generations = service,
      .model = ModelInfo{.id = "tiny", .aliases = {}, .context_tokens = 4096, .description = {}},
      .random = [] { return uint64_t{4}; }}};
};

constexpr const char* kPaths[] = {"/v1/chat/completions", "/v1/completions", "/tokenize",
                                  "/detokenize", "/apply-template"};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  spdlog::set_level(spdlog::level::off);
  static const Daemon daemon;
  if (size == 0) return 0;
  http::Request request;
  request.method = "POST";
  request.path = kPaths[data[0] % std::size(kPaths)];
  request.headers = {{"Content-Type", "application/json"}};
  request.body.assign(reinterpret_cast<const char*>(data + 1), size - 1);
  CheckedResponse response;
  daemon.api.handle(request, response);
  HEARTH_CHECK(response.answers == 1, "not exactly one answer");
  return 0;
}
