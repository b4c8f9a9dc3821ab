#include "server/api/api.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <exception>
#include <random>
#include <utility>

#include "base/log.h"
#include "server/api/error_response.h"
#include "server/api/json_body.h"
#include "server/api/router.h"
#include "server/api/sse_stream.h"

namespace hearth {
namespace {

using api::Call;
using api::CallResponse;
using api::Route;
using api::RouteMatch;

// Chosen by whoever calls, so bounded: it is kept as long as its share is.
constexpr size_t kMaxFairnessId = 128;
constexpr std::string_view kFairnessHeader = "x-gateway-inference-fairness-id";

// The status of a request whose client left before its answer: nothing was sent, so the code is
// free; reverse proxies write this one.
constexpr int kClientClosed = 499;

bool is_json(std::string_view content_type) {
  const std::string_view media = content_type.substr(0, content_type.find(';'));
  constexpr std::string_view kJson = "application/json";
  const size_t end = media.find_last_not_of(" \t") + 1;  // 0 if there is nothing else
  return std::ranges::equal(media.substr(0, end), kJson, [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == b;
  });
}

// Labels come from a fixed set: a client must not be able to make new series.
std::string method_label(std::string_view method) {
  constexpr std::array<std::string_view, 7> kKnown{"GET",    "HEAD",  "POST",   "PUT",
                                                   "DELETE", "PATCH", "OPTIONS"};
  return std::string(std::ranges::find(kKnown, method) != kKnown.end() ? method : "other");
}

uint64_t random_from_system() {
  thread_local std::random_device device;
  return (uint64_t{device()} << 32U) | device();
}

}  // namespace

struct Api::Impl {
  ApiContext context;
  metrics::Family<metrics::Counter>* requests = nullptr;

  void answer(Call& call, const RouteMatch& match) const;
  void account(const Call& call, const RouteMatch& match, double ms) const;
  Status authorise(Call& call, const RouteMatch& match) const;
  Status preflight(Call& call) const;
  void run_endpoint(Call& call, const RouteMatch& match) const;
};

Api::Api(ApiContext context) : impl_(new Impl{.context = std::move(context)}) {
  ApiContext& mine = impl_->context;
  if (!mine.random) mine.random = random_from_system;
  if (!mine.health) mine.health = [] { return HealthReport{}; };
  if (mine.registry == nullptr) return;
  if (!mine.metrics) mine.metrics = [registry = mine.registry] { return registry->expose(); };
  impl_->requests = &mine.registry->counter("http_requests_total", "Answered HTTP requests.",
                                            {"handler", "method", "status"});
}

Api::~Api() = default;

void Api::handle(const http::Request& request, http::Response& response) const {
  const auto start = std::chrono::steady_clock::now();
  const RouteMatch match = api::find_route(request.method, request.path);
  CallResponse out(response);
  Call call{.context = impl_->context,
            .request = request,
            .response = out,
            .fairness_key = {},
            .path_tail = match.tail,
            .log = {}};
  try {
    impl_->answer(call, match);
  } catch (const std::exception& exception) {
    spdlog::error("request {} failed: {}", request.id, exception.what());
    if (out.status() == 0) out.send_error(500, "internal error");
    const OrderedJson error = api::error_object(500, "internal error");
    if (out.streaming()) static_cast<void>(out.write(api::error_event(error)));
  }
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  impl_->account(call, match, took.count());
}

std::string Api::render_error(int status, std::string_view message) {
  return api::to_text(api::error_object(status, message));
}

// Counts the request and writes its line into the log.
void Api::Impl::account(const Call& call, const RouteMatch& match, double ms) const {
  const std::string_view handler = match.path.empty() ? "unknown" : match.path;
  const std::string method = method_label(call.request.method);
  const int status = call.response.status() != 0 ? call.response.status() : kClientClosed;
  if (requests != nullptr) {
    requests->with({std::string(handler), method, std::to_string(status)}).add();
  }
  const api::RequestLog& log = call.log;
  if (log.prompt_tokens >= 0) {
    spdlog::info(
        "request id={} handler={} status={} key={} model={} generation={} prompt_tokens={} "
        "cached_tokens={} completion_tokens={} finish={} ms={:.1f}",
        call.request.id, handler, status, log.key, context.model.id, log.generation,
        log.prompt_tokens, log.cached_tokens, log.completion_tokens, log.finish, ms);
    return;
  }
  // Probes come every second, and say by themselves that the daemon is not ready.
  const bool probe = match.route != nullptr && match.route->access == Route::Access::kOpen;
  spdlog::log(status >= 400 && !probe ? spdlog::level::info : spdlog::level::debug,
              "request id={} handler={} method={} status={} key={} ms={:.1f}", call.request.id,
              handler, method, status, log.key, ms);
}

void Api::Impl::answer(Call& call, const RouteMatch& match) const {
  if (context.access != nullptr) {
    Result<http::Headers> source = context.access->check_source(call.request.headers);
    if (!source) return call.response.send_error(source.error());
    if (call.request.method == "OPTIONS" && !call.request.header("Origin").empty()) {
      if (const Status status = preflight(call); !status) call.response.send_error(status.error());
      return;
    }
    call.response.set_headers(std::move(*source));
  }
  if (match.path.empty()) {
    return call.response.send_error(404, "there is nothing at this path; see GET /");
  }
  if (match.route == nullptr) {
    return call.response.send_error(405, "this path allows " + match.allow,
                                    {{"Allow", match.allow}});
  }
  if (const Status status = authorise(call, match); !status) {
    return call.response.send_error(status.error());
  }
  if (match.route->method == "POST" && !is_json(call.request.header("Content-Type"))) {
    return call.response.send_error(415,
                                    "the body must be JSON: set Content-Type: "
                                    "application/json");
  }
  run_endpoint(call, match);
}

Status Api::Impl::preflight(Call& call) const {
  HEARTH_ASSIGN_OR_RETURN(http::Headers headers, context.access->preflight(call.request.headers));
  call.response.send(204, "", "", std::move(headers));
  return {};
}

Status Api::Impl::authorise(Call& call, const RouteMatch& match) const {
  // The share of a key is one, whatever its holder writes into headers; without keys, a gateway in
  // front tells its users apart.
  call.fairness_key = call.request.header(kFairnessHeader).substr(0, kMaxFairnessId);
  if (context.access == nullptr || !context.access->requires_key()) return {};
  if (match.route->access == Route::Access::kOpen) return {};
  HEARTH_ASSIGN_OR_RETURN(const auth::KeyIdentity identity,
                          context.access->authenticate(call.request.headers));
  call.fairness_key = identity.id;
  call.log.key = identity.name;
  return {};
}

void Api::Impl::run_endpoint(Call& call, const RouteMatch& match) const {
  const Status status = match.route->endpoint(call);
  if (!status) {
    if (status.error().code == ErrorCode::kInternal) {
      spdlog::error("request {}: {}", call.request.id, status.error().message);
    }
    call.response.send_error(status.error());
  }
}

}  // namespace hearth
