#include "server/http/body_decoder.h"

#include <algorithm>

namespace hearth::http {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// 2^40 bytes are beyond any limit, and far from where the size would overflow.
constexpr int kMaxSizeDigits = 10;

}  // namespace

BodyDecoder::BodyDecoder(const Framing& framing, uint64_t max_body_bytes,
                         uint64_t max_overhead_bytes)
    : chunked_(framing.chunked),
      max_body_bytes_(max_body_bytes),
      overhead_left_(max_overhead_bytes),
      remaining_(framing.content_length),
      state_(framing.chunked              ? State::kSize
             : framing.content_length > 0 ? State::kData
                                          : State::kDone) {}

Parsed<size_t> BodyDecoder::feed(std::string_view bytes, std::string& body) {
  size_t used = 0;
  while (used < bytes.size() && !done()) {
    if (state_ != State::kData) {
      auto fed = feed_framing(bytes[used]);
      if (!fed) return std::unexpected(std::move(fed).error());
      ++used;
      continue;
    }
    const auto take = static_cast<size_t>(std::min<uint64_t>(remaining_, bytes.size() - used));
    body.append(bytes.substr(used, take));
    used += take;
    remaining_ -= take;
    if (remaining_ == 0) state_ = chunked_ ? State::kDataCr : State::kDone;
  }
  return used;
}

Parsed<void> BodyDecoder::feed_framing(char c) {
  switch (state_) {
    case State::kSize:
      return feed_size(c);
    case State::kExtension:
      return skip_until_cr(c, State::kSizeLf);
    case State::kSizeLf:
      return c == '\n' ? end_size() : refuse(400, "a chunk's size line must end in CR LF");
    case State::kDataCr:
      return expect(c, '\r', State::kDataLf);
    case State::kDataLf:
      return expect(c, '\n', State::kSize);
    case State::kTrailerStart:
      if (c == '\r') {
        state_ = State::kEndLf;
        return {};
      }
      state_ = State::kTrailer;
      return skip_until_cr(c, State::kTrailerLf);
    case State::kTrailer:
      return skip_until_cr(c, State::kTrailerLf);
    case State::kTrailerLf:
      return expect(c, '\n', State::kTrailerStart);
    case State::kEndLf:
      return expect(c, '\n', State::kDone);
    case State::kData:
    case State::kDone:
      break;
  }
  return refuse(400, "unexpected byte after the body");
}

Parsed<void> BodyDecoder::feed_size(char c) {
  if (const int digit = hex_value(c); digit >= 0) {
    if (++size_digits_ > kMaxSizeDigits) return refuse(413, "a chunk's size is too large");
    remaining_ = remaining_ * 16 + static_cast<uint64_t>(digit);
    return {};
  }
  if (size_digits_ == 0) return refuse(400, "a chunk must begin with its size in hexadecimal");
  if (c == '\r') {
    state_ = State::kSizeLf;
    return {};
  }
  if (c != ';') return refuse(400, "a chunk's size must be hexadecimal digits");
  state_ = State::kExtension;
  return skip_until_cr(c, State::kSizeLf);
}

Parsed<void> BodyDecoder::end_size() {
  size_digits_ = 0;
  if (remaining_ > max_body_bytes_ - decoded_bytes_)
    return refuse(
        413, "the body is larger than the limit of " + std::to_string(max_body_bytes_) + " bytes");
  decoded_bytes_ += remaining_;
  state_ = remaining_ == 0 ? State::kTrailerStart : State::kData;
  return {};
}

Parsed<void> BodyDecoder::expect(char c, char expected, State next) {
  if (c != expected) return refuse(400, "a chunk must be followed by CR LF");
  state_ = next;
  return {};
}

Parsed<void> BodyDecoder::skip_until_cr(char c, State at_cr) {
  if (c == '\r') {
    state_ = at_cr;
    return {};
  }
  const auto byte = static_cast<unsigned char>(c);
  if ((byte < 0x20 && c != '\t') || byte == 0x7F)
    return refuse(400, "chunk extensions and trailers must not have control characters");
  if (overhead_left_ == 0) return refuse(431, "chunk extensions and trailers are too long");
  --overhead_left_;
  return {};
}

}  // namespace hearth::http
