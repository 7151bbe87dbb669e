// SPDX-License-Identifier: Apache-2.0
// The coap plugin's client against libcoap's server, the plugin's own one, and silence.
#include "coap_peers.hpp"

#include <dlfcn.h>
#include <future>
#include <netdb.h>

namespace {
std::atomic<const char*> moving_address{"127.0.0.1"};
}

/// In front of the system's: "moves.test" has the address that a test gives it.
extern "C" __attribute__((visibility("default"))) int getaddrinfo(const char* name,
                                                                  const char* service,
                                                                  const addrinfo* hints,
                                                                  addrinfo** out) {
  static const auto next =
      reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
  const bool moves = std::string_view(name) == "moves.test" && !(hints->ai_flags & AI_NUMERICHOST);
  return next(moves ? moving_address.load() : name, service, hints, out);
}

namespace backplane::test {
namespace {

using testing::ElementsAre;

/// coap-server-openssl on loopback.
class ForeignServer {
 public:
  explicit ForeignServer(uint16_t server_port = free_port()) : port(server_port) { start(); }
  void start() {
    process_.emplace(std::vector<std::string>{"coap-server-openssl", "-A", "127.0.0.1", "-p",
                                              std::to_string(port), "-d", "8"});
    if (!eventually([this] {
          const RawPeer peer(port);
          peer.send(RawPeer::kCon, 1, 1, "t", RawPeer::uri("/example_data"), "");
          return peer.receive(50ms).has_value();
        })) {
      throw std::runtime_error("coap-server-openssl does not answer: " + process_->err());
    }
  }
  void stop(int signal) {
    process_->signal(signal);
    process_->wait();
  }
  const uint16_t port;

 private:
  std::optional<ChildProcess> process_;
};

std::string manifest(uint16_t port, std::string_view more = {}) {
  return concat("[instances.peer]\nplugin = \"coap\"\nurl = \"", url(port, ""), "\"\n", more, "\n");
}

TEST(CoapClient, ReadsWritesAndDeletesAtAForeignServer) {
  ForeignServer server;
  TestKernel test(manifest(server.port));
  const Endpoint data = test.open("peer:/example_data");
  data.write("hello").or_throw();
  const OwnedMessage now = data.read().value();
  EXPECT_EQ(text_of(now.body()), "hello");
  EXPECT_EQ(now.view().header<uint32_t>(BP_H_STATUS), 205u);
  const Endpoint made = test.open("peer:/made");
  made.write("x").or_throw();
  EXPECT_EQ(text_of(made.read().value().body()), "x");
  made.call({}, {{BP_H_METHOD, "DELETE"}}).get().or_throw();
  const auto gone = made.read().get();
  EXPECT_EQ(gone.status().code(), BP_NOT_FOUND);
  EXPECT_EQ(gone.status().native(), 404);
  EXPECT_EQ(gone.status().domain(), "coap");
  EXPECT_TRUE(eventually([&] { return test.info("peer").state == BP_STATE_UP; }));
}

TEST(CoapClient, OpensAUrl) {
  ForeignServer server;
  TestKernel test("");
  const Endpoint data = test.open(url(server.port, "/example_data"));
  data.write("by url").or_throw();
  EXPECT_EQ(text_of(data.read().value().body()), "by url");
}

TEST(CoapClient, FindsAPeerByName) {
  ForeignServer server;
  TestKernel test("");
  const Endpoint data =
      test.open(concat("coap://localhost:", static_cast<unsigned>(server.port), "/example_data"));
  data.write("by name").within(20s).or_throw();
  EXPECT_EQ(text_of(data.read().value().body()), "by name");
}

TEST(CoapClient, StartsWhereItsNameHasAnAddressAtOnce) {
  // A race of the control thread with the loop would show in one of so many starts.
  std::string many;
  for (int i = 0; i < 50; ++i) {
    many += concat("[instances.i", i, "]\nplugin = \"coap\"\nurl = \"coap://localhost:",
                   static_cast<unsigned>(free_port()), "\"\n");
  }
  TestKernel test(many);
  EXPECT_TRUE(test.kernel.stop().is_ok());
}

TEST(CoapClient, GetsItsSocketWhileAServerOfTheSameInstanceHearsOn) {
  ForeignServer server;
  const uint16_t own = free_port();
  TestKernel test(concat("[instances.both]\nplugin = \"coap\"\nurl = \"coap://localhost:",
                         static_cast<unsigned>(server.port), "\"\nlisten = \"", url(own, ""),
                         "\"\n", "resources = [{ path = \"/own\", initial = 1 }]\n"));
  const Endpoint data = test.open("both:/example_data");
  data.write("by name").within(20s).or_throw();
  EXPECT_EQ(text_of(data.read().value().body()), "by name");
  EXPECT_EQ(coap_client({url(own, "/own")}).out, "1");
}

TEST(CoapClient, SendsAndReadsTenKilobytesInBlocks) {
  ForeignServer server;
  TestKernel test(manifest(server.port));
  std::string body;
  for (int i = 0; i < 10'000; ++i) {
    body += static_cast<char>('a' + i % 26);
  }
  const Endpoint data = test.open("peer:/example_data");
  data.write(body).or_throw();
  EXPECT_EQ(text_of(data.read().value().body()), body);
}

TEST(CoapClient, ObservesAForeignServer) {
  ForeignServer server;
  TestKernel test(manifest(server.port));
  const Endpoint data = test.open("peer:/example_data");
  data.write("one").or_throw();
  Collector collector;
  const auto watch = data.watch([&](MessageView message) { collector.add(message); });
  ASSERT_TRUE(watch);
  ASSERT_TRUE(eventually([&] { return collector.count() >= 1; }));
  EXPECT_TRUE(collector.messages()[0].view().is_initial());
  data.write("two").or_throw();
  ASSERT_TRUE(eventually([&] { return collector.count() >= 2; }));
  EXPECT_THAT(collector.texts(), ElementsAre("one", "two"));
}

TEST(CoapClient, ObservesABodyInBlocks) {
  ForeignServer server;
  TestKernel test(manifest(server.port));
  const Endpoint data = test.open("peer:/example_data");
  data.write("small").or_throw();
  Collector collector;
  const auto watch = data.watch([&](MessageView message) { collector.add(message); });
  ASSERT_TRUE(watch);
  ASSERT_TRUE(eventually([&] { return collector.count() >= 1; }));
  const std::string body(5000, 'b');
  data.write(body).or_throw();
  ASSERT_TRUE(eventually([&] { return collector.count() >= 2; }));
  EXPECT_EQ(collector.texts()[1], body);
}

TEST(CoapClient, GoesOnObservingAServerThatWasKilledAndRestarted) {
  ForeignServer server;
  TestKernel test(manifest(server.port, "keepalive_s = 1"));
  const Endpoint data = test.open("peer:/example_data");
  data.write("before").or_throw();
  Collector collector;
  const auto watch = data.watch([&](MessageView message) { collector.add(message); });
  ASSERT_TRUE(watch);
  ASSERT_TRUE(eventually([&] { return collector.count() >= 1; }));
  server.stop(SIGKILL);
  ASSERT_TRUE(eventually([&] { return test.info("peer").state == BP_STATE_CONNECTING; }, 20s));
  server.start();
  ASSERT_TRUE(eventually([&] { return test.info("peer").state == BP_STATE_UP; }, 20s));
  data.write("after").within(10s).or_throw();
  ASSERT_TRUE(eventually(
      [&] {
        const auto texts = collector.texts();
        return !texts.empty() && texts.back() == "after";
      },
      20s));
  EXPECT_FALSE(watch->outcome().has_value()) << "the watch has ended";
}

TEST(CoapClient, SaysThatAPathCannotBeObserved) {
  ForeignServer server;
  TestKernel test(manifest(server.port));
  const Endpoint root = test.open("peer:/");
  const auto watch = root.watch([](MessageView) {});
  ASSERT_TRUE(watch);
  const auto outcome = watch->wait_for(10s);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->code(), BP_UNIMPLEMENTED);
  const Endpoint none = test.open("peer:/none");
  const auto missing = none.watch([](MessageView) {});
  ASSERT_TRUE(missing);
  const auto ended = missing->wait_for(10s);
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->code(), BP_NOT_FOUND);
}

TEST(CoapClient, BrowsesAForeignServer) {
  ForeignServer server;
  TestKernel test(manifest(server.port));
  std::vector<std::string> paths;
  for (const OwnedMessage& entry : test.open("peer:/").browse().value()) {
    paths.push_back(entry.view().header<std::string>(BP_H_PATH).value_or(""));
  }
  EXPECT_THAT(paths, testing::IsSupersetOf({"/", "/time", "/example_data"}));
  std::vector<std::string> below;
  for (const OwnedMessage& entry : test.open("peer:/time").browse().value()) {
    below.push_back(entry.view().header<std::string>(BP_H_PATH).value_or(""));
  }
  EXPECT_THAT(below, ElementsAre("/time"));
}

TEST(CoapClient, RefusesALongestPauseBelowTheShortest) {
  TestKernel test;
  const Status loaded = test.load(manifest(free_port(), "reconnect_max_s = 0.05"));
  const Status status = loaded.is_ok() ? test.kernel.start() : loaded;
  EXPECT_EQ(status.code(), BP_INVALID_ARGUMENT);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("reconnect_max_s"));
}

TEST(CoapClient, HonoursADeadlineAtAPeerThatIsSilent) {
  const RawPeer silent;
  TestKernel test(manifest(silent.port()));
  const Endpoint data = test.open("peer:/x");
  EXPECT_EQ(data.read().within(200ms).get().status().code(), BP_DEADLINE_EXCEEDED);
  EXPECT_EQ(test.info("peer").state, BP_STATE_CONNECTING);
}

TEST(CoapClient, GivesUpWhereNobodyListens) {
  TestKernel test(manifest(free_port()));
  const Endpoint data = test.open("peer:/x");
  const auto read = data.read().within(10s).get();
  EXPECT_EQ(read.status().code(), BP_UNAVAILABLE);
  EXPECT_EQ(test.info("peer").state, BP_STATE_CONNECTING);
}

TEST(CoapClient, GivesUpARequestThatIsAcknowledgedButNeverAnswered) {
  TestKernel test(
      "[instances.server]\nplugin = \"coap\"\nlisten = \"coap://127.0.0.1:0\"\n"
      "answer_timeout_s = 60\nresources = [{ path = \"/a\" }]\n");
  const Endpoint resource = test.open("server:/a");
  const auto watch = resource.watch([](MessageView) { return Status::pending(); });
  ASSERT_TRUE(watch);
  TestKernel client(manifest(test.port("server"), "request_timeout_s = 1"));
  EXPECT_EQ(client.open("peer:/a").write("x").get().code(), BP_DEADLINE_EXCEEDED);
  EXPECT_EQ(client.metric("peer", "coap_request_timeouts_total"), 1);
}

TEST(CoapClient, CarriesMethodsHeadersAndQueries) {
  TestKernel test("[instances.server]\nplugin = \"coap\"\nlisten = \"coap://127.0.0.1:0\"\n");
  const Endpoint path = test.open("server:/thing", {{BP_H_CREATE, true}});
  const auto served = path.serve([](ServedOp request) -> Status {
    const MessageView in = request.in();
    const std::string text =
        concat(in.header<std::string>(BP_H_METHOD).value_or(""), " ",
               in.header<std::string>(BP_H_CONTENT_TYPE).value_or(""), " ",
               in.header<std::string>("uri-query").value_or(""), " ",
               in.header<std::string>("accept").value_or(""), " ",
               in.header<uint32_t>(BP_H_QOS).value_or(9), " ", in.header("2048").has_value());
    MessageBuilder out(text.c_str());
    const std::byte etag[] = {std::byte{1}, std::byte{2}};
    out.header(BP_H_ETAG, std::span<const std::byte>(etag))
        .header(BP_H_EXPIRY_NS, int64_t{5'000'000'000})
        .header("location-path", "here");
    return request.reply(MessageView(out));
  });
  ASSERT_TRUE(served);
  TestKernel client(manifest(test.port("server")));
  const Endpoint thing = client.open("peer:/thing?unit=c");
  const OwnedMessage answer = thing
                                  .call("{}", {{BP_H_METHOD, "iPATCH"},
                                               {BP_H_CONTENT_TYPE, "application/cbor"},
                                               {BP_H_QOS, 0},
                                               {"accept", "application/json"},
                                               {"2048", "opaque"}})
                                  .value();
  EXPECT_EQ(text_of(answer.body()), "iPATCH application/cbor unit=c application/json 0 true");
  EXPECT_EQ(answer.view().header<uint32_t>(BP_H_STATUS), 204u);
  EXPECT_EQ(answer.view().header<int64_t>(BP_H_EXPIRY_NS), 5'000'000'000);
  EXPECT_EQ(answer.view().header<std::string>("location-path"), "here");
  EXPECT_TRUE(answer.view().header(BP_H_ETAG).has_value());
  EXPECT_EQ(thing.call("x", {{BP_H_METHOD, "JUMP"}}).get().status().code(), BP_INVALID_ARGUMENT);
}

TEST(CoapClient, GetsALongAnswerThatComesLater) {
  TestKernel test("[instances.server]\nplugin = \"coap\"\nlisten = \"coap://127.0.0.1:0\"\n");
  const Endpoint path = test.open("server:/slow", {{BP_H_CREATE, true}});
  const std::string body(9000, 'z');
  const auto served = path.serve([&](ServedOp request) -> Status {
    auto deferred = std::make_shared<Deferred>(request.defer());
    std::thread([deferred, &body] { deferred->reply(body.c_str()); }).detach();
    return Status::pending();
  });
  ASSERT_TRUE(served);
  TestKernel client(manifest(test.port("server")));
  EXPECT_EQ(text_of(client.open("peer:/slow").call("go").value().body()), body);
  EXPECT_EQ(text_of(client.open("peer:/slow").read().value().body()), body);
}

/// The first datagram of a client.
void answer_ping(const RawPeer& server) {
  const auto ping = server.receive();
  ASSERT_TRUE(ping && ping->code == 0);
  server.send(RawPeer::kRst, 0, ping->mid, "", {}, "");
}

/// The next request to the server, past pings.
std::optional<RawPeer::Message> next_request(const RawPeer& server,
                                             std::chrono::milliseconds at_most = 5s) {
  for (;;) {
    auto message = server.receive(at_most);
    if (!message || message->code != 0) {
      return message;
    }
  }
}

std::optional<RawPeer::Message> next_ping(const RawPeer& server) {
  auto message = server.receive();
  while (message && message->code != 0) {
    message = server.receive();
  }
  return message;
}

TEST(CoapClient, SendsNothingMoreOfAWriteWhoseDeadlineHasPassed) {
  const RawPeer server;
  std::promise<bp_status> read;
  std::promise<bp_status> written;
  TestKernel test(manifest(server.port(), "nstart = 8\nack_timeout_s = 1"));
  const Endpoint other = test.open("peer:/other");
  other.read().then([&](Result<OwnedMessage> result) { read.set_value(result.status().code()); });
  const auto get = next_request(server);
  ASSERT_TRUE(get);
  const Endpoint data = test.open("peer:/x");
  EXPECT_EQ(data.write("old").within(200ms).get().code(), BP_DEADLINE_EXCEEDED);
  data.write("new").then([&](const Status& status) { written.set_value(status.code()); });
  auto request = next_request(server);
  while (request && !request->has_payload("new")) {
    request = next_request(server);
  }
  ASSERT_TRUE(request);
  server.send(RawPeer::kAck, 204, request->mid, request->token, {}, "");
  EXPECT_EQ(written.get_future().get(), BP_OK);
  // The other request goes on as it was; its second copy from here comes after the old write's
  // first.
  for (int copies = 0; copies < 2;) {
    const auto late = next_request(server);
    ASSERT_TRUE(late);
    ASSERT_FALSE(late->has_payload("old")) << "it overwrites the new value";
    if (late->has_payload("new")) {
      continue;  // a copy that was under way
    }
    ++copies;
    EXPECT_EQ(late->mid, get->mid);
    EXPECT_EQ(late->token, get->token);
  }
  server.send(RawPeer::kAck, 205, get->mid, get->token, {}, "");
  EXPECT_EQ(read.get_future().get(), BP_OK);
}

TEST(CoapClient, SendsWhatWaitsAtOnceAndInOrderWhenThePeerAnswersAPing) {
  const RawPeer server;
  std::promise<bp_status> first, second;
  TestKernel test(manifest(server.port(), "ack_timeout_s = 30\nkeepalive_s = 1"));
  answer_ping(server);
  const Endpoint data = test.open("peer:/x");
  data.write("first").then([&](const Status& status) { first.set_value(status.code()); });
  const auto lost = next_request(server);
  ASSERT_TRUE(lost && lost->has_payload("first"));
  const auto ping = next_ping(server);
  ASSERT_TRUE(ping);
  data.write("second").then([&](const Status& status) { second.set_value(status.code()); });
  EXPECT_FALSE(next_request(server, 100ms)) << "it has overtaken the first one";
  server.send(RawPeer::kRst, 0, ping->mid, "", {}, "");

  const auto again = next_request(server);
  ASSERT_TRUE(again) << "it waits for its retransmission";
  EXPECT_TRUE(again->has_payload("first")) << "the second one has overtaken it";
  EXPECT_EQ(again->mid, lost->mid);
  EXPECT_EQ(again->token, lost->token);
  server.send(RawPeer::kAck, 204, again->mid, again->token, {}, "");
  EXPECT_EQ(first.get_future().get(), BP_OK);
  const auto next = next_request(server);
  ASSERT_TRUE(next && next->has_payload("second"));
  server.send(RawPeer::kAck, 204, next->mid, next->token, {}, "");
  EXPECT_EQ(second.get_future().get(), BP_OK);
}

TEST(CoapClient, BelievesTheSilenceOfAPeerWithRequestsThatWaitForOthers) {
  const RawPeer server;
  TestKernel test(manifest(server.port(), "ack_timeout_s = 30\nkeepalive_s = 1"));
  answer_ping(server);
  ASSERT_TRUE(eventually([&] { return test.info("peer").state == BP_STATE_UP; }));
  const Endpoint data = test.open("peer:/x");
  data.write("first").then([](const Status&) {});
  data.write("second").then([](const Status&) {});
  const auto lost = next_request(server);
  ASSERT_TRUE(lost);
  ASSERT_TRUE(eventually([&] { return test.info("peer").state == BP_STATE_CONNECTING; }));
  const auto again = next_request(server);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->mid, lost->mid) << "what was sent first";
}

TEST(CoapClient, LetsNoRequestWaitForAPeerThatAnswersNoPings) {
  const RawPeer server;
  std::atomic<int> written{0};
  TestKernel test(manifest(server.port(), "ack_timeout_s = 30\nkeepalive_s = 1"));
  const Endpoint data = test.open("peer:/x");
  for (int number = 1; number <= 3; ++number) {
    data.write(number).then([&](const Status& status) { written += status.is_ok() ? 1 : 100; });
    const auto request = next_request(server);
    ASSERT_TRUE(request && request->has_payload(std::to_string(number)));
    server.send(RawPeer::kAck, 204, request->mid, request->token, {}, "");
    ASSERT_TRUE(eventually([&] { return written == number; }));
  }
  EXPECT_EQ(test.info("peer").state, BP_STATE_UP);
}

TEST(CoapClient, IsNotUpByANotificationWhileItsRequestsAreLost) {
  const RawPeer server;
  TestKernel test(
      manifest(server.port(), "ack_timeout_s = 1\nmax_retransmit = 1\nreconnect_max_s = 0.1"));
  answer_ping(server);
  const Endpoint data = test.open("peer:/x");
  Collector collector;
  const auto watch = data.watch([&](MessageView message) { collector.add(message); });
  const auto registration = next_request(server);
  ASSERT_TRUE(registration);
  server.send(RawPeer::kAck, 205, registration->mid, registration->token, {{6, "\x01"}}, "1");
  ASSERT_TRUE(eventually([&] { return collector.count() == 1; }));
  EXPECT_EQ(data.write(3).get().code(), BP_UNAVAILABLE);
  ASSERT_TRUE(next_ping(server)) << "it does not ask whether the peer is there";

  server.send(RawPeer::kNon, 205, 7, registration->token, {{6, "\x02"}}, "2");

  ASSERT_TRUE(eventually([&] { return collector.count() == 2; }));
  EXPECT_FALSE(eventually([&] { return test.info("peer").state == BP_STATE_UP; }, 500ms));
}

std::string manifest_of_moving_name(uint16_t port, std::string_view more = {}) {
  moving_address = "127.0.0.1";
  return concat("[instances.peer]\nplugin = \"coap\"\nurl = \"coap://moves.test:",
                static_cast<unsigned>(port), "\"\n", more, "\n");
}
std::string manifest_at_second_address(uint16_t port) {
  return concat("[instances.server]\nplugin = \"coap\"\nlisten = \"coap://127.0.0.2:",
                static_cast<unsigned>(port), "\"\nresources = [{ path = \"/a\", initial = 2 }]\n");
}

TEST(CoapClient, ObservesAPeerWhoseNameHasMoved) {
  std::optional<RawPeer> first(std::in_place);
  TestKernel second(manifest_at_second_address(first->port()));
  TestKernel test(manifest_of_moving_name(first->port()));
  answer_ping(*first);
  const Endpoint data = test.open("peer:/a");
  Collector collector;
  const auto watch = data.watch([&](MessageView message) { collector.add(message); });
  ASSERT_TRUE(watch);
  const auto registration = next_request(*first);
  ASSERT_TRUE(registration);
  first->send(RawPeer::kAck, 205, registration->mid, registration->token, {{6, "\x01"}}, "1");
  ASSERT_TRUE(eventually([&] { return collector.count() == 1; }));
  moving_address = "127.0.0.2";
  first.reset();
  EXPECT_EQ(data.write(3).get().code(), BP_UNAVAILABLE);
  EXPECT_TRUE(eventually([&] { return collector.count() >= 2; }, 10s));
  EXPECT_THAT(collector.texts(), ElementsAre("1", "2"));
}

TEST(CoapClient, SendsWhatWaitsAgainWhenTheNameHasMoved) {
  const RawPeer first;
  std::promise<bp_status> given_up;
  TestKernel second(manifest_at_second_address(first.port()));
  TestKernel test(
      manifest_of_moving_name(first.port(), "ack_timeout_s = 1\nrequest_timeout_s = 2"));
  const Endpoint data = test.open("peer:/a");
  data.write(3).then([&](const Status& status) { given_up.set_value(status.code()); });
  ASSERT_TRUE(next_request(first));
  ASSERT_TRUE(next_request(first)) << "its copy: the second write ends a second after the first";
  moving_address = "127.0.0.2";
  EXPECT_EQ(data.write(4).get().code(), BP_OK);
  EXPECT_EQ(given_up.get_future().get(), BP_DEADLINE_EXCEEDED);
  EXPECT_EQ(text_of(second.open("server:/a").read().value().body()), "4");
}

TEST(CoapClient, CountsDatagramsThatTheSystemDropsOnceWhenItStops) {
  const RawPeer server;
  TestKernel test(manifest(server.port()));
  answer_ping(server);  // nothing keeps the socket open then
  ASSERT_TRUE(eventually([&] { return test.info("peer").state == BP_STATE_UP; }));
  server.send_bytes("x");
  const auto dropped = [&] { return test.metric("peer", "coap_datagrams_dropped_total"); };
  ASSERT_TRUE(eventually([&] { return dropped() == 1; }));
  server.send_bytes("y");
  EXPECT_TRUE(test.kernel.stop().is_ok());
  EXPECT_EQ(dropped(), 2);
}

TEST(CoapClient, StopsWhileRequestsAreInFlight) {
  const RawPeer silent;
  TestKernel client(manifest(silent.port()));
  std::promise<bp_status> ended;
  const Endpoint data = client.open("peer:/x");
  data.read().then([&](Result<OwnedMessage> result) { ended.set_value(result.status().code()); });
  EXPECT_TRUE(client.kernel.stop().is_ok());
  EXPECT_LT(ended.get_future().get(), 0);
}

}  // namespace
}  // namespace backplane::test
