#pragma once
// The body of a request: a known number of bytes, or chunks (RFC 9112, 7.1). Knows no sockets.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "server/http/request_head.h"

namespace hearth::http {

/// Fed with bytes as they arrive; appends the body to a string that never exceeds the limit.
class BodyDecoder {
 public:
  /// `max_body_bytes` bounds the decoded body, `max_overhead_bytes` what chunked framing may add
  /// in extensions and trailers (both are read and dropped).
  BodyDecoder(const Framing& framing, uint64_t max_body_bytes, uint64_t max_overhead_bytes);

  [[nodiscard]] bool done() const { return state_ == State::kDone; }

  /// Consumes from `bytes` up to the end of the body, appends to `body`, returns the bytes
  /// consumed: all of them unless done(). 400 malformed, 413 too large, 431 too much overhead.
  Parsed<size_t> feed(std::string_view bytes, std::string& body);

 private:
  enum class State {
    kSize,       // hexadecimal digits
    kExtension,  // until CR
    kSizeLf,     // the LF of the size line
    kData,       // remaining_ bytes
    kDataCr,
    kDataLf,
    kTrailerStart,  // first byte of a trailer line
    kTrailer,       // until CR
    kTrailerLf,
    kEndLf,  // the LF of the last empty line
    kDone,
  };

  Parsed<void> feed_framing(char c);
  Parsed<void> feed_size(char c);
  Parsed<void> end_size();
  Parsed<void> expect(char c, char expected, State next);
  Parsed<void> skip_until_cr(char c, State at_cr);

  const bool chunked_;
  const uint64_t max_body_bytes_;
  uint64_t overhead_left_;
  uint64_t decoded_bytes_ = 0;
  uint64_t remaining_ = 0;  // of the body or of the chunk
  int size_digits_ = 0;
  State state_;
};

}  // namespace hearth::http
