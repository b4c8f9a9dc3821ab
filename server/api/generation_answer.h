#pragma once
// Runs a validated request and answers it, at once or as a stream. The endpoints differ in the
// form of a choice alone.

#include <string>

#include "server/api/call.h"
#include "server/api/generation_options.h"
#include "server/api/generation_run.h"

namespace hearth::api {

/// The form of one endpoint's answers. Lives as long as one answer.
class AnswerFormat {
 public:
  virtual ~AnswerFormat() = default;

  [[nodiscard]] virtual const char* id_prefix() const = 0;     // "chatcmpl-"
  [[nodiscard]] virtual const char* object() const = 0;        // "chat.completion"
  [[nodiscard]] virtual const char* chunk_object() const = 0;  // "chat.completion.chunk"

  /// The entry of `choices` for a choice that is complete: `whole` has all its text and tokens.
  virtual OrderedJson whole_choice(const GenerationRun& run, Delta whole) = 0;
  /// The entries of `choices` for news of a choice, one chunk each, in order.
  virtual std::vector<OrderedJson> chunk_choices(const GenerationRun& run, Delta delta) = 0;
};

/// The GenerateRequest of one prompt but for what depends on the endpoint.
GenerateRequest make_request(const Call& call, const GenerationOptions& options,
                             std::vector<TokenId> prompt, int32_t max_tokens);

/// Generates and answers; returns when the answer is complete or the client has gone. An error is
/// returned if nothing has been sent yet; later ones become an event of the stream.
Status answer_generation(Call& call, const GenerationOptions& options, RunSpec spec,
                         AnswerFormat& format);

}  // namespace hearth::api
