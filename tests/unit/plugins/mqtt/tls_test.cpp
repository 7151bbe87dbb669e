// SPDX-License-Identifier: Apache-2.0
#include "session.hpp"
#include "support/fake_host.hpp"
#include "support/free_port.hpp"
#include <backplane/sdk/arena.hpp>

#include <gtest/gtest.h>

namespace backplane::mqtt {
namespace {

/// Sessions with a listener that never answers, or with nobody. A sanitizer sees a context that is
/// freed twice, or never.
class TlsOfASession : public ::testing::Test {
 protected:
  SessionOptions options() {
    SessionOptions out;
    out.client_id = "it";
    out.tls = tls_.context();
    return out;
  }

  /// The library takes the newest context.
  static void reach(Session& session) { EXPECT_TRUE(session.connect("127.0.0.1").is_ok()); }
  /// Fails before the library looks at its context: a multicast group has no route for TCP.
  static void miss(Session& session) {
    EXPECT_EQ(session.connect("224.0.0.1").code(), BP_UNAVAILABLE);
  }

  const test::HeldPort port_{SOCK_STREAM, 0};
  test::FakeHost fake_;
  const Host host_{fake_.raw()};
  StackArena<> arena_;
  const Settings settings_{Config(arena_.map({{"url", concat("mqtts://127.0.0.1:", port_.port())},
                                              {"version", 5},
                                              {"keep_alive_s", 10},
                                              {"session_expiry_s", 60},
                                              {"connect_timeout_s", 1},
                                              {"read_timeout_s", 1},
                                              {"call_timeout_s", 1},
                                              {"browse_time_s", 1},
                                              {"reconnect_min_s", 1},
                                              {"reconnect_max_s", 1},
                                              {"linger_s", 1},
                                              {"qos", 1},
                                              {"retain", false},
                                              {"max_payload", 1000},
                                              {"max_in_flight", 10},
                                              {"offline_queue", 10},
                                              {"receive_maximum", 10},
                                              {"max_requests", 10},
                                              {"max_topics", 10}})),
                           "system", "it"};
  const LibraryUse library_;
  Tls tls_{host_, settings_};
};

TEST_F(TlsOfASession, IsGivenUpOnceWhenItWasNeverUsed) {
  Session never(settings_, options());
  Session missed(settings_, options());
  miss(missed);
  missed.renew(options());
  miss(missed);
}

TEST_F(TlsOfASession, IsGivenUpOnceWhenAnotherIsUsed) {
  Session sut(settings_, options());
  reach(sut);
  sut.renew(options());
  reach(sut);
  sut.renew(options());
  reach(sut);
}

TEST_F(TlsOfASession, LastsAsLongAsNoOtherIsUsed) {
  Session sut(settings_, options());
  reach(sut);
  for (int i = 0; i < 3; ++i) {
    sut.renew(options());
    miss(sut);
  }
}

TEST_F(TlsOfASession, IsTheNewestAfterAttemptsThatWereInVain) {
  Session sut(settings_, options());
  reach(sut);
  sut.renew(options());
  miss(sut);
  sut.renew(options());
  miss(sut);
  reach(sut);
  sut.renew(options());
}

}  // namespace
}  // namespace backplane::mqtt
