#pragma once
// Which endpoint answers a path and a method.

#include <span>
#include <string>
#include <string_view>

#include "server/api/endpoints.h"

namespace hearth::api {

struct Route {
  std::string_view method;
  std::string_view path;  // exact; with '*' at the end: this prefix and at least one character more
  enum class Access { kOpen, kKey } access;  // kKey: an API key if the daemon has any
  Status (*endpoint)(Call& call);
};

/// All routes. Open are those that probes and people need; /metrics is not, since it tells who uses
/// the daemon how much: a scraper sends the key as a bearer token.
std::span<const Route> routes();

struct RouteMatch {
  const Route* route = nullptr;  // null: none
  std::string_view path;         // of the table, the label of metrics and logs; empty: unknown path
  std::string_view tail;         // what '*' stands for
  std::string allow;             // methods that the path has, for 405
};

/// HEAD is served as GET; the HTTP layer leaves the body out.
RouteMatch find_route(std::string_view method, std::string_view path);

}  // namespace hearth::api
