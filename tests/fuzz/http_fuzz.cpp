// A request as a stranger sends it: head, framing and body, in one piece and byte by byte. Both
// ways must end the same, and nothing may pass its limit.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/utf8.h"
#include "server/http/body_decoder.h"
#include "server/http/request_head.h"

namespace {

using namespace hearth::http;

constexpr size_t kMaxHead = 2048;
constexpr uint64_t kMaxBody = 512;
constexpr uint64_t kMaxOverhead = 128;

struct Outcome {
  int refused = 0;  // the status; 0 if nothing was wrong with what arrived
  bool complete = false;
  std::string body;
  size_t used = 0;

  bool operator==(const Outcome&) const = default;
};

Outcome read_body(std::string_view bytes, const Framing& framing, size_t piece) {
  BodyDecoder decoder(framing, kMaxBody, kMaxOverhead);
  Outcome outcome;
  while (!decoder.done() && !bytes.empty()) {
    const auto fed = decoder.feed(bytes.substr(0, piece), outcome.body);
    HEARTH_CHECK(outcome.body.size() <= kMaxBody, "the body passed its limit");
    if (!fed) {
      outcome.refused = fed.error().status;
      outcome.used = 0;  // what was used before an error does not matter
      return outcome;
    }
    outcome.used += *fed;
    bytes.remove_prefix(*fed);
  }
  outcome.complete = decoder.done();
  return outcome;
}

size_t find_head(std::string_view bytes, size_t piece, int& refused) {
  size_t scanned = 0;
  for (size_t end = 0; end < bytes.size();) {
    end = std::min(end + piece, bytes.size());
    const auto found = find_head_end(bytes.substr(0, end), scanned, kMaxHead);
    if (!found) {
      refused = found.error().status;
      return 0;
    }
    if (*found > 0) return *found;
  }
  return 0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  int refused_whole = 0;
  int refused_pieces = 0;
  const size_t head_bytes = find_head(bytes, bytes.size(), refused_whole);
  HEARTH_CHECK(head_bytes == find_head(bytes, 1, refused_pieces), "pieces change the head");
  HEARTH_CHECK(refused_whole == refused_pieces, "pieces change the refusal");
  if (head_bytes == 0) return 0;
  const auto head = parse_head(bytes.substr(0, head_bytes));
  if (!head) return 0;
  HEARTH_CHECK(hearth::is_valid_utf8(head->path) && !head->path.empty(), "a path that is not text");
  for (const auto& [name, value] : head->headers) {
    HEARTH_CHECK(is_token(name), "a header name that is no token");
    HEARTH_CHECK(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos,
                 "a header value with a line break");
  }
  const auto framing = parse_framing(head->headers, head->minor_version, kMaxBody);
  if (!framing) return 0;
  HEARTH_CHECK(framing->content_length <= kMaxBody, "a length over the limit");
  HEARTH_CHECK(!framing->chunked || framing->content_length == 0, "two lengths");
  const std::string_view rest = bytes.substr(head_bytes);
  HEARTH_CHECK(read_body(rest, *framing, rest.size()) == read_body(rest, *framing, 1),
               "pieces change the body");
  return 0;
}
