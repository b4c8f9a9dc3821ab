#pragma once
// What stands around the Api in tests: a generation service that plays back a script, a connection
// that keeps what was written, and a small chat template.

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/api/api.h"
#include "tests/support/fake_tokenizer.h"

namespace hearth::testing {

/// A connection that keeps what was sent.
class CapturedResponse final : public http::Response {
 public:
  void send(int status_code, std::string_view type, std::string text, http::Headers extra) override;
  void begin_stream(int status_code, std::string_view type, http::Headers extra) override;
  bool write(std::string_view bytes) override;
  bool client_gone() override { return gone || body.size() >= gone_after_bytes; }

  [[nodiscard]] OrderedJson json() const { return OrderedJson::parse(body); }
  [[nodiscard]] std::string header(std::string_view name) const;
  /// The payloads of "data:" lines in order, "[DONE]" as that string.
  [[nodiscard]] std::vector<OrderedJson> events() const;

  int status = 0;
  std::string content_type;
  http::Headers headers;
  std::string body;
  bool streamed = false;
  bool gone = false;
  size_t gone_after_bytes = SIZE_MAX;  // the client leaves once it has so much
};

/// What one prompt's generation does; nothing in `events` is a wait that times out.
struct Script {
  std::vector<std::optional<EngineEvent>> events;
};

class FakeService final : public GenerationService {
 public:
  Result<std::unique_ptr<Generation>> submit(GenerateRequest request) override;

  /// The events of a choice that writes `ids` and stops: the sampled tokens have log-probability
  /// -0.5, the likeliest others are 'x' and 'y'.
  static void write_choice(const GenerateRequest& request, int32_t choice,
                           const std::vector<TokenId>& ids, FinishReason reason, Script& script);

  /// Ids that every choice writes, at most max_tokens of them.
  std::vector<TokenId> answer;
  /// Replaces the standard script.
  std::function<Script(const GenerateRequest&)> play;
  /// Refuses requests.
  std::optional<Error> refusal;

  std::vector<GenerateRequest> submitted;
  std::vector<std::pair<size_t, int32_t>> stopped;  // which request, which choice
  size_t cancelled = 0;                             // generations destroyed before their end

 private:
  [[nodiscard]] Script standard_script(const GenerateRequest& request) const;
};

/// An Api with all its surroundings. Change `context` before the first request.
class FakeDaemon {
 public:
  FakeDaemon();

  CapturedResponse request(const std::string& method, const std::string& path,
                           const std::string& body = {}, http::Headers headers = {});
  CapturedResponse post(const std::string& path, const OrderedJson& body);
  void send(const http::Request& request, http::Response& response);

  FakeTokenizer tokenizer;
  FakeService service;
  std::optional<ChatTemplate> chat_template;
  metrics::Registry registry;
  uint64_t next_random = 0;
  ApiContext context;

 private:
  std::unique_ptr<Api> api_;
};

}  // namespace hearth::testing
