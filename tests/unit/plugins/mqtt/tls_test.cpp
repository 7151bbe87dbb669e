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

TEST_F(TlsOfASession, HasWithAPreSharedKeyOnlySuitesThatProveIt) {
  fake_.set_credential("secret", "psk_identity", "it");
  fake_.set_credential("secret", "psk", "00ff");
  Settings settings = settings_;
  settings.credentials = "secret";
  Tls tls(host_, settings);
  const auto context = tls.context();
  const STACK_OF(SSL_CIPHER)* const suites = SSL_CTX_get_ciphers(context->get());
  int proving = 0;
  for (int i = 0; i < sk_SSL_CIPHER_num(suites); ++i) {
    const SSL_CIPHER* const suite = sk_SSL_CIPHER_value(suites, i);
    const int exchange = SSL_CIPHER_get_kx_nid(suite);
    if (exchange == NID_kx_any) {
      continue;  // of TLS 1.3, which is not spoken here
    }
    EXPECT_TRUE(exchange == NID_kx_psk || exchange == NID_kx_dhe_psk ||
                exchange == NID_kx_ecdhe_psk)
        << SSL_CIPHER_get_name(suite);
    ++proving;
  }
  EXPECT_GT(proving, 0);
  EXPECT_EQ(SSL_CTX_get_max_proto_version(context->get()), TLS1_2_VERSION);
}

}  // namespace
}  // namespace backplane::mqtt
