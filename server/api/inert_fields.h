#pragma once
// Fields of OpenAI's API that Hearth knows and does not act on.

#include "server/api/validator.h"

namespace hearth::api {

enum class Endpoint : unsigned { kChat = 1, kCompletions = 2 };

/// Takes those fields. Accepted: any value of the right type where ignoring it cannot change what
/// the client gets (user, metadata, …), and the value that asks for nothing (tools: [],
/// response_format: {"type": "text"}, …). Anything else is kUnsupported and named.
void take_inert_fields(FieldReader& reader, Endpoint endpoint);

}  // namespace hearth::api
