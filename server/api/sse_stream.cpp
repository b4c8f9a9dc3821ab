#include "server/api/sse_stream.h"

namespace hearth::api {

std::string error_event(const OrderedJson& data) {
  return "event: error\ndata: " + to_text(data) + "\n\n";
}

SseStream::SseStream(http::Response& response, std::chrono::milliseconds ping_interval)
    : response_(response),
      ping_interval_(ping_interval),
      last_write_(std::chrono::steady_clock::now()) {}

bool SseStream::send(const OrderedJson& data) { return write("data: " + to_text(data) + "\n\n"); }

bool SseStream::send_error(const OrderedJson& data) { return write(error_event(data)); }

bool SseStream::send_done() { return write("data: [DONE]\n\n"); }

bool SseStream::ping_if_due() {
  if (std::chrono::steady_clock::now() - last_write_ < ping_interval_) return true;
  return write(": ping\n\n");
}

bool SseStream::write(std::string_view bytes) {
  if (!begun_) {
    begun_ = true;
    // X-Accel-Buffering: reverse proxies that know it pass each event on at once.
    response_.begin_stream(200, "text/event-stream",
                           {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}});
  }
  last_write_ = std::chrono::steady_clock::now();
  return response_.write(bytes);
}

}  // namespace hearth::api
