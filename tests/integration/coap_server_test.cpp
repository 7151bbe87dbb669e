// SPDX-License-Identifier: Apache-2.0
// The coap plugin's server against libcoap's client and against datagrams written by hand.
#include "coap_peers.hpp"

#include <future>

namespace backplane::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string manifest(std::string_view more = {}) {
  return concat(R"(
[instances.sensors]
plugin = "coap"
listen = "coap://127.0.0.1:0"
resources = [
  { path = "/line1/temperature", initial = 20.5, title = "Line 1", rt = "temperature", if = "core.s" },
  { path = "/line1/limit", type = "number", initial = 3 },
  { path = "/line1/name", content_type = "text/plain", writable = false, initial = "mixer" },
]
)",
                more, "\n");
}

constexpr std::string_view kTemperature = "/line1/temperature";

TEST(CoapServer, AnswersAForeignClient) {
  TestKernel test(manifest());
  const uint16_t port = test.port("sensors");
  EXPECT_EQ(coap_client({url(port, kTemperature)}).out, "20.5");
  EXPECT_EQ(coap_client({url(port, "/line1/name")}).out, "mixer");
  EXPECT_THAT(coap_client({url(port, "/line1/none")}).err, HasSubstr("4.04"));
  EXPECT_THAT(coap_client({"-m", "delete", url(port, "/line1/none")}).err, HasSubstr("4.04"));
  EXPECT_THAT(coap_client({"-m", "post", "-e", "1", url(port, kTemperature)}).err,
              HasSubstr("4.05"));
  EXPECT_THAT(coap_client({"-m", "put", "-e", "1", url(port, "/line1/name")}).err,
              HasSubstr("4.05"));
}

TEST(CoapServer, TakesAPutWithoutContentFormatAsTheResourcesContentType) {
  TestKernel test(manifest());
  const auto answered =
      coap_client({"-m", "put", "-e", "42.5", url(test.port("sensors"), kTemperature)});
  EXPECT_EQ(answered.err.find("4.0"), std::string::npos);
  const OwnedMessage now = test.open("sensors:/line1/temperature").read().value();
  EXPECT_EQ(now.body().tag, BP_T_ENCODED);
  EXPECT_EQ(now.body().aux, BP_FORMAT_JSON);
  EXPECT_EQ(text_of(now.body()), "42.5");
  EXPECT_EQ(now.view().header<std::string>(BP_H_CONTENT_TYPE), "application/json");
}

TEST(CoapServer, GivesAnOutsidePutToItsWatchersOnce) {
  TestKernel test(manifest());
  const Endpoint endpoint = test.open("sensors:/line1/temperature");
  Collector collector;
  const auto watch = endpoint.watch([&](MessageView message) { collector.add(message); });
  ASSERT_TRUE(watch) << watch.status().to_string();
  coap_client({"-m", "put", "-e", "42.5", url(test.port("sensors"), kTemperature)});
  coap_client({"-m", "put", "-e", "43", url(test.port("sensors"), kTemperature)});
  ASSERT_TRUE(eventually([&] { return collector.count() >= 3; }));
  EXPECT_THAT(collector.texts(), ElementsAre("20.5", "42.5", "43"));
  EXPECT_TRUE(collector.messages()[0].view().is_initial());
  EXPECT_FALSE(collector.messages()[1].view().is_initial());
}

TEST(CoapServer, HandlesACopyOfAConfirmableDatagramOnce) {
  TestKernel test(manifest());
  const Endpoint endpoint = test.open("sensors:/line1/temperature");
  Collector collector;
  const auto watch = endpoint.watch([&](MessageView message) { collector.add(message); });
  ASSERT_TRUE(watch);
  const RawPeer peer(test.port("sensors"));
  for (int copy = 0; copy < 3; ++copy) {
    peer.put(7, "ab", kTemperature, "50");
    const auto answer = peer.receive();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->code, 204u);
    EXPECT_EQ(answer->mid, 7);
    EXPECT_EQ(answer->token, "ab");
  }
  peer.put(8, "ac", kTemperature, "51");
  ASSERT_TRUE(peer.receive());
  ASSERT_TRUE(eventually([&] { return collector.count() >= 3; }));
  EXPECT_THAT(collector.texts(), ElementsAre("20.5", "50", "51"));
  EXPECT_EQ(test.metric("sensors", "coap_copies_total"), 2);
}

TEST(CoapServer, TellsForeignObserversOfAnOwnWrite) {
  TestKernel test(manifest());
  ChildProcess observer(
      {"coap-client-openssl", "-s", "20", "-w", url(test.port("sensors"), kTemperature)});
  ASSERT_TRUE(observer.wait_for_output("20.5"));
  const Endpoint endpoint = test.open("sensors:/line1/temperature");
  endpoint.write(21.25).or_throw();
  EXPECT_TRUE(observer.wait_for_output("21.25"));
  coap_client({"-m", "put", "-e", "42.5", url(test.port("sensors"), kTemperature)});
  EXPECT_TRUE(observer.wait_for_output("42.5"));
  EXPECT_EQ(test.metric("sensors", "coap_observers"), 1);
}

TEST(CoapServer, TakesAndGivesTenKilobytesInBlocks) {
  TestKernel test(manifest());
  std::string body = "\"";
  for (int i = 0; i < 10'000; ++i) {
    body += static_cast<char>('a' + i % 26);
  }
  body += '"';
  const ScratchFile sent(body);
  const ScratchFile received("");
  const std::string address = url(test.port("sensors"), kTemperature);
  coap_client({"-m", "put", "-f", sent.name(), address});
  const Endpoint endpoint = test.open("sensors:/line1/temperature");
  EXPECT_EQ(text_of(endpoint.read().value().body()), body);
  coap_client({"-o", received.name(), address});
  EXPECT_EQ(received.content(), body);
  coap_client({"-b", "64", "-o", received.name(), address});
  EXPECT_EQ(received.content(), body);
}

TEST(CoapServer, RefusesABodyAboveItsBound) {
  TestKernel test(manifest("max_body = 4000"));
  const ScratchFile sent(std::string(6000, 'x'));
  const std::string address = url(test.port("sensors"), kTemperature);
  EXPECT_THAT(coap_client({"-m", "put", "-f", sent.name(), address}).err, HasSubstr("4.13"));
  EXPECT_EQ(coap_client({address}).out, "20.5");
  const Endpoint endpoint = test.open("sensors:/line1/temperature");
  EXPECT_EQ(endpoint.write(std::string(6000, 'x')).get().code(), BP_RESOURCE_EXHAUSTED);
}

TEST(CoapServer, RefusesAPayloadThatIsNotOfTheResourcesType) {
  TestKernel test(manifest());
  const std::string address = url(test.port("sensors"), "/line1/limit");
  EXPECT_THAT(coap_client({"-m", "put", "-e", "high", address}).err, HasSubstr("4.00"));
  coap_client({"-m", "put", "-e", "4.5", address});
  const Endpoint endpoint = test.open("sensors:/line1/limit");
  EXPECT_EQ(endpoint.read<double>().value(), 4.5);
  EXPECT_EQ(endpoint.write("high").get().code(), BP_INVALID_ARGUMENT);
}

TEST(CoapServer, KeepsToTheConditionsOfAPut) {
  TestKernel test(manifest());
  const RawPeer peer(test.port("sensors"));
  const auto put = [&](uint16_t mid, RawPeer::Option condition) {
    auto options = RawPeer::uri(kTemperature);
    options.insert(options.begin(), std::move(condition));
    peer.send(RawPeer::kCon, 3, mid, "t", options, "30");
    const auto answer = peer.receive();
    return answer ? answer->code : 0;
  };
  EXPECT_EQ(put(1, {5, ""}), 412u) << "If-None-Match, and it exists";
  EXPECT_EQ(put(2, {1, "old"}), 412u);
  EXPECT_EQ(coap_client({url(test.port("sensors"), kTemperature)}).out, "20.5");
  EXPECT_EQ(put(3, {1, ""}), 204u) << "an empty If-Match: whatever it is, it exists";
  EXPECT_EQ(coap_client({url(test.port("sensors"), kTemperature)}).out, "30");
}

TEST(CoapServer, ListsItsResourcesAsLinks) {
  TestKernel test(manifest());
  const uint16_t port = test.port("sensors");
  const std::string all = coap_client({url(port, "/.well-known/core")}).out;
  EXPECT_THAT(all, HasSubstr("</line1/temperature>;title=\"Line 1\";rt=\"temperature\";"
                             "if=\"core.s\";ct=50;sz=4;obs"));
  EXPECT_THAT(all, HasSubstr("</line1/name>;ct=0;sz=5;obs"));
  const std::string some = coap_client({url(port, "/.well-known/core?rt=temp*")}).out;
  EXPECT_THAT(some, HasSubstr("/line1/temperature"));
  EXPECT_EQ(some.find("/line1/name"), std::string::npos);
  const Endpoint root = test.open("sensors:/");
  std::vector<std::string> paths;
  for (const OwnedMessage& entry : root.browse().value()) {
    paths.push_back(entry.view().header<std::string>(BP_H_PATH).value_or(""));
  }
  EXPECT_THAT(paths,
              testing::UnorderedElementsAre("/line1/temperature", "/line1/limit", "/line1/name"));
}

TEST(CoapServer, CountsDatagramsThatAreNoCoapAndGoesOn) {
  TestKernel test(manifest());
  const uint16_t port = test.port("sensors");
  const RawPeer peer(port);
  const auto counted = [&] {
    return test.metric("sensors", "coap_malformed_total") +
           test.metric("sensors", "coap_datagrams_dropped_total");
  };
  int64_t sent = 0;
  for (const std::string_view garbage :
       {std::string_view(""), std::string_view("x"), std::string_view("abc"),
        std::string_view("\xff\xff\xff\xff", 4), std::string_view("\x4f\x01\x00\x01", 4),
        std::string_view("\x40\x01\x00\x01\xff", 5), std::string_view("\x41\x01\x00\x02", 4),
        std::string_view("\x40\x01\x00\x03\xf1\x00", 6)}) {
    peer.send_bytes(garbage);
    ++sent;
  }
  EXPECT_TRUE(eventually([&] { return counted() >= sent; }))
      << counted() << " of " << sent << " counted";
  EXPECT_EQ(counted(), sent);
  EXPECT_EQ(coap_client({url(port, kTemperature)}).out, "20.5");
}

TEST(CoapServer, PassesOverAnotherVersionOfCoapWithoutAWord) {
  TestKernel test(manifest());
  const RawPeer peer(test.port("sensors"));
  peer.send_bytes(std::string_view("\x80\x01\x00\x01", 4));
  EXPECT_FALSE(peer.receive(200ms).has_value());
}

TEST(CoapServer, NamesAPortThatIsTaken) {
  TestKernel first(manifest());
  const unsigned port = first.port("sensors");
  TestKernel second;
  second
      .load(concat("[instances.other]\nplugin = \"coap\"\nlisten = \"coap://127.0.0.1:", port,
                   "\"\n"))
      .or_throw();
  const Status status = second.kernel.start();
  EXPECT_EQ(status.code(), BP_FAILED_PRECONDITION);
  EXPECT_THAT(std::string(status.message()), HasSubstr(concat("UDP port ", port)));
  EXPECT_THAT(std::string(status.message()), HasSubstr(concat("ss -lunp 'sport = :", port, "'")));
}

TEST(CoapServer, HoldsTheAnswerUntilTheWatchersHaveAcknowledged) {
  TestKernel test(manifest());
  const Endpoint endpoint = test.open("sensors:/line1/temperature");
  std::promise<uint64_t> seen;
  std::atomic<int> count{0};
  const auto watch = endpoint.watch([&](MessageView message) {
    if (message.is_initial()) {
      return Status::ok();
    }
    ++count;
    seen.set_value(message.seq());
    return Status::pending();
  });
  ASSERT_TRUE(watch);
  const RawPeer peer(test.port("sensors"));
  peer.put(1, "tok", kTemperature, "42.5");
  const auto early = peer.receive();
  ASSERT_TRUE(early);
  EXPECT_EQ(early->type, RawPeer::kAck);
  EXPECT_EQ(early->code, 0u);
  peer.put(1, "tok", kTemperature, "42.5");  // a copy while it is held: the acknowledgement again
  const auto again = peer.receive();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->type, RawPeer::kAck);
  EXPECT_EQ(again->code, 0u);
  EXPECT_FALSE(peer.receive(100ms)) << "answered before anybody acknowledged";
  watch->ack(seen.get_future().get(), BP_OK);
  const auto answer = peer.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->type, RawPeer::kCon);
  EXPECT_EQ(answer->code, 204u);
  EXPECT_EQ(answer->token, "tok");
  peer.acknowledge(*answer);
  EXPECT_EQ(count, 1);
}

TEST(CoapServer, AnswersUnavailableWhenNobodyAcknowledgesInTime) {
  TestKernel test(manifest("answer_timeout_s = 0.2"));
  const Endpoint endpoint = test.open("sensors:/line1/temperature");
  const auto watch = endpoint.watch([](MessageView) { return Status::pending(); });
  ASSERT_TRUE(watch);
  const RawPeer peer(test.port("sensors"));
  peer.put(1, "t", kTemperature, "42.5", RawPeer::kNon);
  const auto answer = peer.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->type, RawPeer::kNon);
  EXPECT_EQ(answer->code, 503u);
}

TEST(CoapServer, AnswersWhatItHoldsWhenItStops) {
  TestKernel test(manifest());
  const RawPeer peer(test.port("sensors"));
  {
    const Endpoint endpoint = test.open("sensors:/line1/temperature");
    std::atomic<bool> seen{false};
    auto watch = endpoint.watch([&](MessageView message) {
      seen = seen || !message.is_initial();
      return Status::pending();
    });
    ASSERT_TRUE(watch);
    peer.put(1, "t", kTemperature, "42.5");
    ASSERT_TRUE(eventually([&] { return seen.load(); }));
    ASSERT_TRUE(peer.receive());
    // The watch ends first, as a route does: then nobody can acknowledge any more.
    *watch = Subscription();
  }
  const auto answer = peer.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code, 503u);
  peer.acknowledge(*answer);
  EXPECT_TRUE(test.kernel.stop().is_ok());
}

TEST(CoapServer, StopsWhileRequestsAreInFlight) {
  TestKernel test(manifest("answer_timeout_s = 0.3"));
  const RawPeer peer(test.port("sensors"));
  const Endpoint endpoint = test.open("sensors:/line1/temperature");
  std::atomic<bool> seen{false};
  const auto watch = endpoint.watch([&](MessageView message) {
    seen = seen || !message.is_initial();
    return Status::pending();
  });
  ASSERT_TRUE(watch);
  peer.put(1, "t", kTemperature, "42.5");
  ASSERT_TRUE(eventually([&] { return seen.load(); }));
  ASSERT_TRUE(peer.receive());
  EXPECT_TRUE(test.kernel.stop().is_ok());
  const auto answer = peer.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code, 503u);
  EXPECT_TRUE(watch->outcome().has_value());
}

/// The loop takes the path that is to be served before it answers this.
void wait_until_served(TestKernel& test) {
  ASSERT_TRUE(test.open("sensors:/").browse().get().status().is_ok());
}

TEST(CoapServer, AnswersAnErrorForAHeaderThatFitsNoOption) {
  TestKernel test(manifest());
  const Endpoint endpoint = test.open("sensors:/served", {{BP_H_CREATE, true}});
  const auto served = endpoint.serve([](ServedOp request) {
    MessageBuilder out("x");
    out.header("accept", "no/type");
    return request.reply(MessageView(out));
  });
  ASSERT_TRUE(served);
  wait_until_served(test);
  const RawPeer peer(test.port("sensors"));
  for (uint16_t i = 0; i < 70; ++i) {  // more than are told from their copies
    for (int copy = 0; copy < 2; ++copy) {
      peer.put(i, "t", "/served", "");
      const auto answer = peer.receive();
      ASSERT_TRUE(answer);
      ASSERT_EQ(answer->code, 500u) << "request " << i << ", copy " << copy;
    }
  }
}

TEST(CoapServer, KeepsAServedPathToItsHandler) {
  TestKernel test(manifest());
  const Endpoint endpoint = test.open("sensors:/served", {{BP_H_CREATE, true}});
  std::atomic<int> asked{0};
  const auto served = endpoint.serve([&](ServedOp request) { return request.reply(++asked); });
  ASSERT_TRUE(served);
  wait_until_served(test);
  const Endpoint inside = test.open("sensors:/served", {{BP_H_CREATE, true}});
  for (const Status& refused : {endpoint.write(7).get(), inside.read().get().status(),
                                inside.watch([](MessageView) {}).status()}) {
    EXPECT_EQ(refused.code(), BP_UNIMPLEMENTED);
    EXPECT_THAT(refused.to_string(), HasSubstr("'/served' is served by a handler"));
  }
  EXPECT_THAT(test.kernel.open("sensors:/served").get().status().to_string(),
              HasSubstr("'/served' is served by a handler"));
  const RawPeer peer(test.port("sensors"));
  peer.put(1, "t", "/served", "");
  const auto answer = peer.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code, 204u);
  EXPECT_EQ(asked, 1);
}

TEST(CoapServer, SaysThatAHandlerOwesAnAnswerItNeverPromised) {
  TestKernel test(manifest());
  const Endpoint endpoint = test.open("sensors:/served", {{BP_H_CREATE, true}});
  const auto served = endpoint.serve([](const ServedOp&) { return Status::pending(); });
  ASSERT_TRUE(served);
  wait_until_served(test);
  const RawPeer peer(test.port("sensors"));
  peer.put(1, "t", "/served", "");
  const auto answer = peer.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code, 500u);
  EXPECT_TRUE(test.kernel.stop().is_ok());
}

TEST(CoapServer, AnswersAnErrorAlsoLaterAndDrains) {
  TestKernel test(manifest("answer_timeout_s = 60"));
  const Endpoint endpoint = test.open("sensors:/served", {{BP_H_CREATE, true}});
  std::promise<Deferred> asked;
  const auto served = endpoint.serve([&](ServedOp request) {
    asked.set_value(request.defer());
    return Status::pending();
  });
  ASSERT_TRUE(served);
  wait_until_served(test);
  const RawPeer peer(test.port("sensors"));
  peer.put(1, "t", "/served", "");
  Deferred deferred = asked.get_future().get();
  const auto early = peer.receive();
  ASSERT_TRUE(early);
  EXPECT_EQ(early->code, 0u);
  std::promise<Status> drained;
  std::thread drain([&] { drained.set_value(test.kernel.drain()); });
  MessageBuilder out("x");
  out.header("hop-limit", 1.5);
  deferred.reply(MessageView(out));
  const auto answer = peer.receive();
  EXPECT_TRUE(answer && answer->code == 500u);
  if (answer) {
    peer.acknowledge(*answer);
  }
  EXPECT_TRUE(drained.get_future().get().is_ok());
  drain.join();
}

TEST(CoapServer, KeepsItsBoundsAtTenTimesOverload) {
  TestKernel test(manifest("max_requests = 8\nanswer_timeout_s = 30"));
  const Endpoint endpoint = test.open("sensors:/line1/temperature");
  const auto watch = endpoint.watch([](MessageView) { return Status::pending(); });
  ASSERT_TRUE(watch);
  const RawPeer peer(test.port("sensors"));
  unsigned held = 0;
  unsigned refused = 0;
  for (uint16_t i = 0; i < 80; ++i) {
    peer.put(i, "t", kTemperature, std::to_string(i));
    const auto answer = peer.receive();
    ASSERT_TRUE(answer) << i;
    held += answer->code == 0 ? 1u : 0u;
    refused += answer->code == 503u ? 1u : 0u;
  }
  EXPECT_EQ(held, 8u);
  EXPECT_EQ(refused, 72u);
  EXPECT_EQ(test.metric("sensors", "coap_refused_total"), 72);
}

TEST(CoapServer, RefusesAnObserverTooMany) {
  TestKernel test(manifest("max_observers = 2"));
  const RawPeer peer(test.port("sensors"));
  for (unsigned i = 0; i < 3; ++i) {
    auto options = RawPeer::uri(kTemperature);
    options.insert(options.begin(), {6, ""});
    options.push_back({15, concat("q=", i)});
    peer.send(RawPeer::kCon, 1, static_cast<uint16_t>(i), concat("t", i), options, "");
    const auto answer = peer.receive();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->code, i < 2 ? 205u : 503u);
  }
  // The library keeps what it has, and forgets the third.
  test.open("sensors:/line1/temperature").write(30).or_throw();
  std::vector<std::string> tokens;
  while (tokens.size() < 2) {
    const auto notification = peer.receive();
    ASSERT_TRUE(notification);
    EXPECT_EQ(notification->code, 205u);
    peer.acknowledge(*notification);
    tokens.push_back(notification->token);
  }
  EXPECT_THAT(tokens, testing::UnorderedElementsAre("t0", "t1"));
}

TEST(CoapServer, LetsHandlersServePaths) {
  TestKernel test(manifest());
  const uint16_t port = test.port("sensors");
  const Endpoint exact = test.open("sensors:/lamp", {{BP_H_CREATE, true}});
  const auto lamp = exact.serve([](ServedOp request) -> Status {
    const auto method = request.in().header<std::string>(BP_H_METHOD).value_or("");
    if (method == "DELETE") {
      return Status(BP_NOT_FOUND, "no such lamp");
    }
    const std::string text = method + " " + text_of(request.in().body());
    return request.reply(text.c_str());
  });
  ASSERT_TRUE(lamp) << lamp.status().to_string();
  const Endpoint below = test.open("sensors:/tree", {{BP_H_CREATE, true}});
  const auto tree = below.serve(
      [](ServedOp request) -> Status {
        auto deferred = std::make_shared<Deferred>(request.defer());
        std::thread([deferred, path = std::string(request.path())] {
          deferred->reply(path.c_str());
        }).detach();
        return Status::pending();
      },
      {{BP_H_MATCH, BP_MATCH_PREFIX}});
  ASSERT_TRUE(tree);
  EXPECT_EQ(coap_client({"-m", "post", "-e", "on", url(port, "/lamp")}).out, "POST on");
  EXPECT_EQ(coap_client({"-m", "fetch", "-e", "x", url(port, "/lamp")}).out, "FETCH x");
  EXPECT_THAT(coap_client({"-m", "delete", url(port, "/lamp")}).err, HasSubstr("4.04"));
  EXPECT_EQ(coap_client({url(port, "/tree/a/b")}).out, "/tree/a/b");
  EXPECT_THAT(coap_client({url(port, "/trees")}).err, HasSubstr("4.04"));
}

TEST(CoapServer, MakesAResourceOnDemand) {
  TestKernel test(manifest());
  EXPECT_EQ(test.kernel.open("sensors:/new").get().status().code(), BP_NOT_FOUND);
  const Endpoint made = test.open("sensors:/new", {{BP_H_CREATE, true}});
  made.write("first").or_throw();
  EXPECT_EQ(coap_client({url(test.port("sensors"), "/new")}).out, "first");
}

TEST(CoapServer, ListensOnIPv6) {
  TestKernel test(
      "[instances.s]\nplugin = \"coap\"\nlisten = \"coap://[::1]:0\"\n"
      "resources = [{ path = \"/a\", initial = 1 }]\n");
  EXPECT_EQ(coap_client({concat("coap://[::1]:", test.port("s"), "/a")}).out, "1");
}

}  // namespace
}  // namespace backplane::test
