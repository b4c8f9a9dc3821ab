// GET /health, /readyz and /livez. Answered without a key and without the generation service, so
// that they hold under full load.

#include "server/api/endpoints.h"
#include "server/api/error_response.h"

namespace hearth::api {
namespace {

void send_report(Call& call, const HealthReport& report, bool with_details) {
  OrderedJson body = OrderedJson::object({{"status", report.status}});
  if (with_details) body.update(report.details);
  const int status = report.ready ? 200 : 503;
  http::Headers headers = error_headers(status);
  headers.emplace_back("Cache-Control", "no-store");
  if (!report.ready) {
    // Probes read the status; people and clients of the API get the error object beside it.
    body.update(error_object(503, "the server is not ready: " + report.status));
  }
  call.response.send_json(status, body, std::move(headers));
}

}  // namespace

/// Ready to serve, and what the daemon tells of itself.
Status health(Call& call) {
  send_report(call, call.context.health(), true);
  return {};
}

/// Ready to serve: 503 while loading and while draining.
Status readyz(Call& call) {
  send_report(call, call.context.health(), false);
  return {};
}

/// The daemon answers at all.
Status livez(Call& call) {
  send_report(call, HealthReport{}, false);
  return {};
}

}  // namespace hearth::api
