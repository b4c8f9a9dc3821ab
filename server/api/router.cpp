#include "server/api/router.h"

#include <array>

namespace hearth::api {
namespace {

constexpr auto kOpen = Route::Access::kOpen;
constexpr auto kKey = Route::Access::kKey;

constexpr std::array kRoutes{
    Route{"POST", "/v1/chat/completions", kKey, chat_completions},
    Route{"POST", "/v1/completions", kKey, completions},
    Route{"GET", "/v1/models", kKey, list_models},
    Route{"GET", "/v1/models/*", kKey, get_model},
    Route{"POST", "/tokenize", kKey, tokenize},
    Route{"POST", "/detokenize", kKey, detokenize},
    Route{"POST", "/apply-template", kKey, apply_template},
    Route{"GET", "/metrics", kKey, metrics_text},
    Route{"GET", "/health", kOpen, health},
    Route{"GET", "/readyz", kOpen, readyz},
    Route{"GET", "/livez", kOpen, livez},
    Route{"GET", "/", kOpen, root},
};

bool matches(const Route& route, std::string_view path, std::string_view& tail) {
  if (!route.path.ends_with('*')) return path == route.path;
  const std::string_view prefix = route.path.substr(0, route.path.size() - 1);
  if (!path.starts_with(prefix) || path.size() == prefix.size()) return false;
  tail = path.substr(prefix.size());
  return true;
}

}  // namespace

std::span<const Route> routes() { return kRoutes; }

RouteMatch find_route(std::string_view method, std::string_view path) {
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  RouteMatch match;
  for (const Route& route : kRoutes) {
    if (!matches(route, path, match.tail)) continue;
    match.path = route.path;
    if (route.method == wanted) {
      match.route = &route;
      return match;
    }
    if (!match.allow.empty()) match.allow += ", ";
    match.allow += route.method;
    if (route.method == "GET") match.allow += ", HEAD";
  }
  return match;
}

}  // namespace hearth::api
