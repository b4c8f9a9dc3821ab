#include "server/http/http_server.h"

#include <doctest/doctest.h>

#include "support_raw_client.h"

namespace hearth::http {

TEST_CASE("a request reaches the handler whole and its answer the client") {
  TestServer server;
  RawClient client(server.port());
  const auto answer = client.exchange(post("/a%20b?x=%31", "hello", "X-Header: v \r\n"));
  REQUIRE(answer);
  CHECK(answer->status == 200);
  CHECK(answer->body == "POST /a b ?x=%31 127.0.0.1 [hello]");
  CHECK(answer->header("X-Header") == "v");
  CHECK(answer->header("x-request-id").starts_with("req_"));
}

TEST_CASE("requests follow each other on one connection, also pipelined and after a stream") {
  TestServer server;
  RawClient client(server.port());
  client.send(get("/stream") + post("/b", "two") + "\r\n" + get("/c"));
  const auto stream = client.receive();
  REQUIRE(stream);
  CHECK(stream->complete);
  CHECK(stream->body == "data: a\n\ndata: b\n\n");
  CHECK(stream->header("Cache-Control") == "no-cache");
  CHECK(stream->header("X-Accel-Buffering") == "no");
  CHECK(client.receive().value().body == "POST /b ? 127.0.0.1 [two]");
  CHECK(client.receive().value().body == "GET /c ? 127.0.0.1 []");
  CHECK(client.exchange(get("/d")).value().body == "GET /d ? 127.0.0.1 []");
  CHECK(server.server().open_connections() == 1);
}

TEST_CASE("x-request-id is the client's if it is printable and short, else one of ours") {
  TestServer server;
  RawClient client(server.port());
  CHECK(client.exchange(get("/", "X-Request-Id: abc-1\r\n")).value().header("x-request-id") ==
        "abc-1");
  const std::string longest(128, 'i');
  CHECK(client.exchange(get("/", "X-Request-Id: " + longest + "\r\n"))
            .value()
            .header("x-request-id") == longest);
  for (const std::string& bad : {longest + "i", std::string("caf\xC3\xA9"), std::string()}) {
    const auto answer = client.exchange(get("/", "X-Request-Id: " + bad + "\r\n"));
    CHECK(answer->header("x-request-id").starts_with("req_"));
    CHECK(answer->header("x-request-id").size() == 36);
  }
  const auto refused = client.exchange(get("/", "X-Request-Id: e1\r\nContent-Encoding: br\r\n"));
  CHECK(refused->status == 415);
  CHECK(refused->header("x-request-id") == "e1");
}

TEST_CASE("HEAD has the headers of GET and no body; OPTIONS reaches the handler") {
  TestServer server;
  RawClient client(server.port());
  client.send("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n");
  const auto head = client.receive(true);
  REQUIRE(head);
  CHECK(head->header("Content-Length") ==
        std::to_string(std::string("HEAD /x ? 127.0.0.1 []").size()));
  client.send("HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(client.receive(true).value().header("Transfer-Encoding") == "chunked");
  CHECK(client.exchange("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").value().body ==
        "OPTIONS * ? 127.0.0.1 []");
  const auto empty = client.exchange(get("/empty"));
  CHECK(empty->status == 204);
  CHECK(empty->header("Content-Length").empty());
  CHECK(client.exchange(get("/y")).value().status == 200);  // nothing was left over in between
}

TEST_CASE("HTTP/1.0: closed after the answer, no chunks, kept alive when asked") {
  TestServer server;
  RawClient plain(server.port());
  CHECK(plain.exchange("GET /x HTTP/1.0\r\n\r\n").value().header("Connection") == "close");
  CHECK(plain.closed_by_server());
  RawClient stream(server.port());
  const auto answer = stream.exchange("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  CHECK(answer->header("Transfer-Encoding").empty());
  CHECK(answer->body == "data: a\n\ndata: b\n\n");
  RawClient kept(server.port());
  CHECK(kept.exchange("GET /x HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            .value()
            .header("Connection") == "keep-alive");
  CHECK(kept.exchange("GET /x HTTP/1.0\r\n\r\n").value().status == 200);
}

TEST_CASE("Connection: close is obeyed") {
  TestServer server;
  RawClient client(server.port());
  CHECK(client.exchange(get("/", "Connection: x, Close\r\n")).value().header("Connection") ==
        "close");
  CHECK(client.closed_by_server());
}

TEST_CASE("Expect: 100-continue is answered before the body is sent, or refused at once") {
  TestServer server;
  RawClient client(server.port());
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  CHECK(client.receive().value().status == 100);
  CHECK(client.exchange("hi").value().body == "POST / ? 127.0.0.1 [hi]");
  RawClient large(server.port());
  CHECK(large
            .exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n"
                      "Expect: 100-continue\r\n\r\n")
            ->status == 413);
  RawClient other(server.port());
  CHECK(other.exchange(get("/", "Expect: the-best\r\n")).value().status == 417);
}

TEST_CASE("a handler that throws or says nothing gives a 500 that tells nothing") {
  TestServer server;
  for (const char* path : {"/throw", "/nothing"}) {
    RawClient client(server.port());
    const auto answer = client.exchange(get(path));
    REQUIRE(answer);
    CHECK(answer->status == 500);
    CHECK(answer->body.find("secret") == std::string::npos);
    CHECK(answer->header("EXCEPTION_WHAT").empty());
    CHECK_FALSE(answer->header("x-request-id").empty());
  }
  RawClient late(server.port());
  const auto broken = late.exchange(get("/late-throw"));
  REQUIRE(broken);
  CHECK(broken->body == "part");
  CHECK_FALSE(broken->complete);
  CHECK(RawClient(server.port()).exchange(get("/")).value().status == 200);
}

TEST_CASE("line breaks in header values cannot make headers") {
  TestServer server;
  RawClient client(server.port());
  const auto answer = client.exchange(get("/inject"));
  REQUIRE(answer);
  CHECK(answer->header("Set-Cookie").empty());
  CHECK(answer->header("X-Bad").empty());
  CHECK(answer->header("X-Echo") == "a  Set-Cookie: b=c");
}

TEST_CASE("REMOTE_ADDR sent by a client is a header like any other") {
  TestServer server;
  RawClient client(server.port());
  CHECK(client.exchange(get("/", "REMOTE_ADDR: 6.6.6.6\r\n")).value().body.find(" 127.0.0.1 ") !=
        std::string::npos);
}

TEST_CASE("listen() refuses a port that is taken, an unknown host and a number out of range") {
  TestServer server;
  HttpServer::Options options;
  options.handler = [](const Request&, Response&) {};
  options.port = server.port();
  const auto taken = HttpServer::listen(options);
  REQUIRE_FALSE(taken);
  CHECK(taken.error().code == ErrorCode::kIo);
  CHECK(taken.error().message.find(std::to_string(server.port())) != std::string::npos);
  options.port = 0;
  options.host = "999.999.999.999";
  CHECK(HttpServer::listen(options).error().code == ErrorCode::kIo);
  options.port = 70'000;
  CHECK(HttpServer::listen(options).error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("stop() wakes idle connections, lets handlers end, and may come before run()") {
  TestServer server;
  RawClient idle(server.port());
  CHECK(idle.exchange(get("/")).value().status == 200);
  RawClient silent(server.port());
  RawClient busy(server.port());
  busy.send(get("/wait"));
  REQUIRE(eventually([&] { return server.waiting == 1; }));
  std::thread stopper([&] { server.server().stop(); });
  CHECK(idle.closed_by_server());
  CHECK(silent.closed_by_server());
  server.release = true;
  const auto answer = busy.receive();
  REQUIRE(answer);
  CHECK(answer->body == "done");
  CHECK(answer->header("Connection") == "close");
  stopper.join();
  server.stop();
  CHECK_FALSE(RawClient(server.port()).exchange(get("/")));

  HttpServer::Options options;
  options.port = 0;
  options.handler = [](const Request&, Response&) {};
  auto early = HttpServer::listen(options);
  REQUIRE(early);
  (*early)->stop();
  (*early)->run();
}

}  // namespace hearth::http
