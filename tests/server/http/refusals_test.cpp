// Requests that must not be served, each ended with an answer and a closed connection.

#include <doctest/doctest.h>

#include "support_raw_client.h"

namespace hearth::http {
namespace {

struct Case {
  const char* name;
  std::string bytes;
  int status;
};

/// Sends `bytes` and a further request behind them: the status must come once, then the end, and
/// the handler must have seen nothing.
void check_refused(const Case& bad) {
  CAPTURE(bad.name);
  TestServer server;
  RawClient client(server.port());
  client.send(bad.bytes + get("/smuggled"));
  const auto answer = client.receive();
  REQUIRE(answer);
  CHECK(answer->status == bad.status);
  CHECK(answer->header("Connection") == "close");
  CHECK(answer->header("Content-Type") == "application/json");
  CHECK_FALSE(answer->header("x-request-id").empty());
  CHECK(answer->body.find("\"status\":" + std::to_string(bad.status)) != std::string::npos);
  CHECK(client.closed_by_server());
  CHECK(server.handled == 0);
}

const std::string kStart = "POST / HTTP/1.1\r\nHost: a\r\n";

}  // namespace

TEST_CASE("ambiguous lengths are refused and nothing behind them is taken for a request") {
  for (const Case& bad : {
           Case{"two lengths", kStart + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400},
           Case{"two equal lengths", kStart + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
                400},
           Case{"a list", kStart + "Content-Length: 3, 3\r\n\r\nabc", 400},
           Case{"a sign", kStart + "Content-Length: +3\r\n\r\nabc", 400},
           Case{"hexadecimal", kStart + "Content-Length: 0x3\r\n\r\nabc", 400},
           Case{"empty", kStart + "Content-Length:\r\n\r\nabc", 400},
           Case{"negative", kStart + "Content-Length: -1\r\n\r\n", 400},
           Case{"beyond 64 bits", kStart + "Content-Length: 18446744073709551617\r\n\r\n", 413},
           Case{"length and chunks",
                kStart + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
           Case{"chunks and length",
                kStart + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400},
           Case{"other coding", kStart + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
           Case{"hidden coding", kStart + "Transfer-Encoding: xchunked\r\n\r\n", 501},
           Case{"two codings",
                kStart + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 501},
           Case{"chunks in 1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                400},
       })
    check_refused(bad);
}

TEST_CASE("malformed heads are refused") {
  for (const Case& bad : {
           Case{"bare LF", "GET / HTTP/1.1\nHost: a\n\n", 400},
           Case{"bare LF later", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400},
           Case{"bare CR", "GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n", 400},
           Case{"folded", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400},
           Case{"blank before colon", kStart + "Content-Length : 3\r\n\r\nabc", 400},
           Case{"no colon", kStart + "nonsense\r\n\r\n", 400},
           Case{"empty name", kStart + ": x\r\n\r\n", 400},
           Case{"name with a bracket", kStart + "X(y): x\r\n\r\n", 400},
           Case{"NUL in a value", kStart + std::string("X: a\0b\r\n\r\n", 10), 400},
           Case{"no host", "GET / HTTP/1.1\r\n\r\n", 400},
           Case{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
           Case{"lower-case method", "get / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
           Case{"no version", "GET /\r\nHost: a\r\n\r\n", 400},
           Case{"two blanks", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
           Case{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
           Case{"no slash", "GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
           Case{"broken escape", "GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
           Case{"escaped line break", "GET /%0a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
           Case{"raw byte", "GET /\xFF HTTP/1.1\r\nHost: a\r\n\r\n", 400},
           Case{"not UTF-8", "GET /%FF HTTP/1.1\r\nHost: a\r\n\r\n", 400},
           Case{"TLS hello", "\x16\x03\x01\x02\r\n\r\n", 400},
       })
    check_refused(bad);
}

TEST_CASE("an absolute target is served and its authority stands for the host") {
  TestServer server;
  RawClient client(server.port());
  CHECK(client.exchange("GET http://other/p?q HTTP/1.1\r\nHost: a\r\n\r\n").value().body ==
        "GET /p ?q 127.0.0.1 []");
}

TEST_CASE("malformed chunks are refused") {
  const std::string start = kStart + "Transfer-Encoding: chunked\r\n\r\n";
  for (const Case& bad : {
           Case{"no size", start + "\r\nabc\r\n", 400},
           Case{"sign", start + "-3\r\nabc\r\n", 400},
           Case{"prefix", start + "0x3\r\nabc\r\n", 400},
           Case{"wraps 64 bits", start + "FFFFFFFFFFFFFFFFF\r\nabc\r\n", 413},
           Case{"size over the limit", start + "100001\r\n", 413},
           Case{"bare LF after the size", start + "3\nabc\r\n0\r\n\r\n", 400},
           Case{"bare LF in an extension", start + "3;x\nabc\r\n0\r\n\r\n", 400},
           Case{"blank after the size", start + "3 \r\nabc\r\n0\r\n\r\n", 400},
           Case{"data longer than its size", start + "3\r\nabcd\r\n0\r\n\r\n", 400},
           Case{"bare LF after the data", start + "3\r\nabc\n0\r\n\r\n", 400},
           Case{"endless extension", start + "3;" + std::string(70'000, 'x'), 431},
           Case{"endless trailers", start + "0\r\n" + std::string(70'000, 'x'), 431},
       })
    check_refused(bad);
}

TEST_CASE("chunked bodies are decoded, in pieces of any size, with extensions and trailers") {
  TestServer server;
  RawClient client(server.port());
  const std::string request = kStart +
                              "Transfer-Encoding: Chunked\r\n\r\n"
                              "3;a=b\r\nabc\r\n0A\r\n0123456789\r\n0\r\nX-T: v\r\n\r\n";
  CHECK(client.exchange(request).value().body == "POST / ? 127.0.0.1 [abc0123456789]");
  for (const char c : request) CHECK(client.send({&c, 1}));
  CHECK(client.receive().value().body == "POST / ? 127.0.0.1 [abc0123456789]");
  CHECK(client.exchange(get("/after")).value().status == 200);
}

TEST_CASE("bodies over the limit: 413 before they are read, chunked or not") {
  TestServer server;
  RawClient announced(server.port());
  CHECK(announced.exchange(kStart + "Content-Length: 1048577\r\n\r\n").value().status == 413);
  RawClient exact(server.port());
  CHECK(exact.exchange(post("/", std::string(1 << 20, 'x'))).value().status == 200);
  RawClient sent(server.port());  // the whole body is on its way when the answer comes
  CHECK(sent.exchange(post("/", std::string(3 << 20, 'x'))).value().status == 413);
  RawClient chunked(server.port());
  std::string body = kStart + "Transfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 17; ++i) body += "10000\r\n" + std::string(0x10000, 'x') + "\r\n";
  const auto refused = chunked.exchange(body);
  REQUIRE(refused);
  CHECK(refused->status == 413);
  CHECK(server.handled == 1);
}

TEST_CASE("all bodies together are bounded") {
  Limits limits = TestServer::short_limits();
  limits.max_buffered_bytes = 100'000;
  TestServer server(limits);
  RawClient large(server.port());
  const auto refused = large.exchange(post("/", std::string(200'000, 'x')));
  REQUIRE(refused);
  CHECK(refused->status == 503);
  CHECK(refused->header("Retry-After") == "1");
  for (int i = 0; i < 3; ++i) {  // each gives its share back, a moment after its answer
    CHECK(eventually([&] {
      return RawClient(server.port())
                 .exchange(post("/", std::string(90'000, 'x')))
                 .value()
                 .status == 200;
    }));
  }
}

TEST_CASE("compressed bodies are refused, so none can be a bomb") {
  for (const char* coding : {"gzip", "deflate", "br", "zstd", "gzip, gzip"})
    check_refused(
        {coding, kStart + "Content-Encoding: " + coding + "\r\nContent-Length: 3\r\n\r\nabc", 415});
  TestServer server;
  RawClient client(server.port());
  CHECK(client.exchange(post("/", "x", "Content-Encoding: identity\r\n")).value().status == 200);
}

TEST_CASE("floods of headers: 431 by count and by bytes, 414 for the target") {
  std::string many = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 200; ++i) many += "X: y\r\n";
  check_refused({"count", many + "\r\n", 431});
  check_refused({"one line", "GET / HTTP/1.1\r\nX: " + std::string(100'000, 'x'), 431});
  check_refused(
      {"long target", "GET /" + std::string(9000, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n", 414});
  check_refused({"endless line", "GET /" + std::string(20'000, 'x'), 414});
}

}  // namespace hearth::http
