// GET /metrics

#include "server/api/endpoints.h"
#include "server/metrics/registry.h"

namespace hearth::api {

Status metrics_text(Call& call) {
  call.response.send(200, metrics::Registry::kContentType, call.context.metrics());
  return {};
}

}  // namespace hearth::api
