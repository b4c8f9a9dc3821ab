#pragma once
// Every endpoint: one function in a file of its own and one row of the table in router.cpp. An
// error that is returned becomes the answer.

#include "server/api/call.h"

namespace hearth::api {

Status chat_completions(Call& call);  // POST /v1/chat/completions
Status completions(Call& call);       // POST /v1/completions
Status list_models(Call& call);       // GET  /v1/models
Status get_model(Call& call);         // GET  /v1/models/{id}
Status tokenize(Call& call);          // POST /tokenize
Status detokenize(Call& call);        // POST /detokenize
Status apply_template(Call& call);    // POST /apply-template
Status health(Call& call);            // GET  /health
Status readyz(Call& call);            // GET  /readyz
Status livez(Call& call);             // GET  /livez
Status metrics_text(Call& call);      // GET  /metrics
Status root(Call& call);              // GET  /

}  // namespace hearth::api
