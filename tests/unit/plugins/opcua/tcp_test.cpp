// SPDX-License-Identifier: Apache-2.0
// The connection manager as the library uses it: by its table of functions.
#include "tcp.hpp"

#include "support/eventually.hpp"
#include "support/fake_host.hpp"
#include "support/free_port.hpp"

#include <gmock/gmock.h>

namespace backplane::opcua {
namespace {

using test::eventually;

/// A server's socket.
class Listening {
 public:
  Listening() { listen(held_.descriptor(), 4); }
  uint16_t port() const { return held_.port(); }
  int accept() {
    accepted_ = ::accept(held_.descriptor(), nullptr, nullptr);
    return accepted_;
  }
  ~Listening() { close(accepted_); }

 private:
  const test::HeldPort held_{SOCK_STREAM, 0};
  int accepted_ = -1;
};

class ATcp : public testing::Test {
 protected:
  void make(std::vector<std::string> addresses, uint16_t port) {
    sut_.emplace(host_, loop_, std::move(addresses), port, [this] { seen_ = received_; });
    manager_ = reinterpret_cast<UA_ConnectionManager*>(loop_.native()->eventSources);
  }
  UA_StatusCode open() {
    return manager_->openConnection(
        manager_, &UA_KEYVALUEMAP_NULL, this, nullptr,
        [](UA_ConnectionManager*, uintptr_t id, void* application, void** context,
           UA_ConnectionState state, const UA_KeyValueMap*, UA_ByteString message) {
          auto* test = static_cast<ATcp*>(application);
          *context = test;
          test->id_ = id;
          test->states_.push_back(state);
          test->received_ += view(message);
        });
  }
  UA_StatusCode send(std::string_view text) {
    UA_ByteString buffer;
    EXPECT_EQ(manager_->allocNetworkBuffer(manager_, id_, &buffer, text.size()),
              UA_STATUSCODE_GOOD);
    memcpy(buffer.data, text.data(), text.size());
    return manager_->sendWithConnection(manager_, id_, &UA_KEYVALUEMAP_NULL, &buffer);
  }
  bool becomes(UA_ConnectionState state) {
    return eventually([&] {
      fake_.loop.run();
      return !states_.empty() && states_.back() == state;
    });
  }
  size_t count(UA_ConnectionState state) const {
    return static_cast<size_t>(std::count(states_.begin(), states_.end(), state));
  }

  test::FakeHost fake_;
  const Host host_{fake_.raw()};
  const UA_Logger logger_{};
  EventLoop loop_{host_, &logger_};
  std::optional<Tcp> sut_;
  UA_ConnectionManager* manager_ = nullptr;
  uintptr_t id_ = 0;
  std::vector<UA_ConnectionState> states_;
  std::string received_;
  std::string seen_;  // what had been received after a read
};

TEST_F(ATcp, ConnectsSendsAndReceives) {
  Listening server;
  make({"127.0.0.1"}, server.port());
  ASSERT_EQ(open(), UA_STATUSCODE_GOOD);
  ASSERT_TRUE(becomes(UA_CONNECTIONSTATE_ESTABLISHED));
  const int peer = server.accept();
  EXPECT_EQ(send("hello"), UA_STATUSCODE_GOOD);
  char bytes[8]{};
  EXPECT_EQ(recv(peer, bytes, sizeof bytes, 0), 5);
  EXPECT_EQ(::send(peer, "world", 5, 0), 5);
  EXPECT_TRUE(eventually([&] { return fake_.loop.run(), received_ == "world"; }));
  EXPECT_EQ(seen_, "world") << "told after the library was";
}

TEST_F(ATcp, TriesTheNextAddressWhenOneRefuses) {
  Listening server;  // at 127.0.0.1 alone
  make({"127.0.0.2", "127.0.0.1"}, server.port());
  ASSERT_EQ(open(), UA_STATUSCODE_GOOD);
  EXPECT_TRUE(becomes(UA_CONNECTIONSTATE_ESTABLISHED));
}

TEST_F(ATcp, SaysWhyNoAddressWouldDo) {
  uint16_t port = 0;
  {
    const Listening closed;
    port = closed.port();
  }
  make({"127.0.0.2", "127.0.0.1"}, port);
  ASSERT_EQ(open(), UA_STATUSCODE_GOOD);
  EXPECT_TRUE(becomes(UA_CONNECTIONSTATE_CLOSING));
  EXPECT_EQ(sut_->reason(), "Connection refused");
}

TEST_F(ATcp, SendsAllWhenThePeerIsSlow) {
  Listening server;
  make({"127.0.0.1"}, server.port());
  open();
  ASSERT_TRUE(becomes(UA_CONNECTIONSTATE_ESTABLISHED));
  const int peer = server.accept();
  constexpr size_t kAll = size_t{16} << 20;
  for (size_t i = 0; i < 16; ++i) {
    ASSERT_EQ(send(std::string(kAll / 16, static_cast<char>('a' + i))), UA_STATUSCODE_GOOD);
  }
  std::string got;
  std::vector<char> block(1 << 20);
  EXPECT_TRUE(eventually([&] {
    fake_.loop.run();
    const ssize_t n = recv(peer, block.data(), block.size(), MSG_DONTWAIT);
    got.append(block.data(), n > 0 ? static_cast<size_t>(n) : 0);
    return got.size() == kAll;
  }));
  EXPECT_TRUE(std::is_sorted(got.begin(), got.end())) << "in its order";
}

// The library would tell of a send that failed inside the call in which it sends.
TEST_F(ATcp, TellsOfAConnectionThatIsOverInALaterTurn) {
  {
    Listening server;
    make({"127.0.0.1"}, server.port());
    open();
    ASSERT_TRUE(becomes(UA_CONNECTIONSTATE_ESTABLISHED));
    const linger at_once{1, 0};
    setsockopt(server.accept(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(send("into the void"), UA_STATUSCODE_GOOD);
    EXPECT_EQ(count(UA_CONNECTIONSTATE_CLOSING), 0u);
  }
  EXPECT_TRUE(becomes(UA_CONNECTIONSTATE_CLOSING));
  EXPECT_EQ(count(UA_CONNECTIONSTATE_CLOSING), 1u);
  EXPECT_NE(sut_->reason(), "");
  EXPECT_NE(send("nobody is there"), UA_STATUSCODE_GOOD);
}

TEST_F(ATcp, OpensNoneWhileThereIsOneNorWhenItMayNot) {
  Listening server;
  make({"127.0.0.1"}, server.port());
  ASSERT_EQ(open(), UA_STATUSCODE_GOOD);
  EXPECT_EQ(open(), UA_STATUSCODE_BADCONNECTIONREJECTED);
  sut_->abort();
  EXPECT_EQ(states_.back(), UA_CONNECTIONSTATE_CLOSING);
  ASSERT_EQ(open(), UA_STATUSCODE_GOOD);
  sut_->forbid();
  sut_->abort();
  EXPECT_EQ(open(), UA_STATUSCODE_BADCONNECTIONREJECTED);
}

}  // namespace
}  // namespace backplane::opcua
