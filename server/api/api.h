#pragma once
// The OpenAI API over HTTP: authorises, validates, renders prompts to token ids, hands them to the
// GenerationService and turns its events into JSON or server-sent events.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/tokenizer.h"
#include "server/auth/access_policy.h"
#include "server/chat/chat_template.h"
#include "server/gateway/generation_service.h"
#include "server/http/http_server.h"
#include "server/metrics/registry.h"

namespace hearth {

/// What /v1/models tells of the one model that is served.
struct ModelInfo {
  std::string id;                    // the name answers carry
  std::vector<std::string> aliases;  // further names that requests may use
  int64_t created = 0;               // Unix seconds, the model file's time
  int32_t context_tokens = 0;        // prompt and completion of one choice together
  int32_t vocab_size = 0;
  std::string description;  // one line for people: architecture, size, tensor type
};

/// The answer of /health and /readyz.
struct HealthReport {
  std::string status = "ok";                    // "ok", "loading", "draining", "degraded", …
  bool ready = true;                            // false: 503
  OrderedJson details = OrderedJson::object();  // further members of /health's object
};

/// Bounds of one request. Each refusal names the field, its value and the bound.
struct ApiLimits {
  int32_t max_choices = 128;      // n
  int32_t max_prompts = 128;      // entries of a completions prompt array
  int32_t max_sequences = 256;    // prompts times n
  int32_t max_stop_strings = 16;  // entries of stop
  int32_t max_stop_bytes = 1024;  // of one stop string
  int32_t max_logprobs = 20;      // top_logprobs, and logprobs of completions
  int32_t max_logit_bias = 1024;  // entries of logit_bias
  int32_t max_tokens = 0;         // cap of max_tokens and of its default; 0: the context alone
  std::chrono::milliseconds ping_interval{15'000};  // comment line in a stream without news
  std::chrono::milliseconds poll_interval{50};      // between looks whether the client has gone
};

/// What the API needs from the daemon. References and pointers must outlive the Api.
struct ApiContext {
  const Tokenizer& tokenizer;
  const ChatTemplate* chat_template = nullptr;          // null: none, chat requests get 400
  std::string chat_template_error{};                    // why there is none
  OrderedJson template_tokens = OrderedJson::object();  // {"bos_token": "<s>", "eos_token": …}
  GenerationService& generations;
  ModelInfo model{};
  std::string system_fingerprint = "fp_hearth";  // names build and model in answers
  const auth::AccessPolicy* access = nullptr;    // null: everybody may do everything (tests)
  std::function<HealthReport()> health{};        // any thread; must not block
  std::function<std::string()> metrics{};        // Prometheus text; any thread; must not block
  /// Takes http_requests_total{handler,method,status}, which the Api makes. Null: not counted.
  metrics::Registry* registry = nullptr;
  ApiLimits limits{};
  /// Seeds of requests that set none, and ids. Any thread. Empty: the system's.
  std::function<uint64_t()> random{};
};

/// Answers every HTTP request of the daemon. Immutable; any thread may call handle().
class Api {
 public:
  explicit Api(ApiContext context);
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;
  ~Api();

  /// Answers one request, whatever it is; for a generation it returns when the answer is complete
  /// or the client has gone. Never throws for input.
  void handle(const http::Request& request, http::Response& response) const;

  /// OpenAI's error object for errors found before handle() is reached (http::HttpServer's
  /// on_error).
  static std::string render_error(int status, std::string_view message);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hearth
