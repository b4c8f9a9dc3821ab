// Frames as a dying or broken peer could send them: the stream is cut into frames, each is decoded
// in both directions, and what was accepted encodes and decodes to the same bytes.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "server/ipc/messages.h"

namespace {

template <typename Message>
void round_trip(const Message& message, std::string_view frame) {
  std::string again;
  HEARTH_CHECK(hearth::ipc::append_frame(again, message).has_value(), "an accepted message fits");
  HEARTH_CHECK(std::string_view(again).substr(sizeof(uint32_t)) == frame,
               "an accepted message has one form");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view frame(reinterpret_cast<const char*>(data), size);
  if (const auto down = hearth::ipc::decode_down(frame)) round_trip(*down, frame);
  if (const auto up = hearth::ipc::decode_up(frame)) round_trip(*up, frame);
  return 0;
}
