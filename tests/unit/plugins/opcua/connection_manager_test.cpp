// SPDX-License-Identifier: Apache-2.0
#include "connection_manager.hpp"

#include "support/fake_host.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <unistd.h>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace backplane::opcua {
namespace {

class Manager final : public ConnectionManager {
 public:
  explicit Manager(EventLoop& loop) : ConnectionManager(loop) {}
  UA_ByteString lend(size_t size) {
    UA_ByteString buffer = UA_BYTESTRING_NULL;
    EXPECT_EQ(allocNetworkBuffer(this, 1, &buffer, size), UA_STATUSCODE_GOOD);
    EXPECT_EQ(buffer.length, size);
    std::memset(buffer.data, 'x', size);  // ASan sees whether it is all there
    return buffer;
  }
  void take_back(UA_ByteString& buffer) {
    freeNetworkBuffer(this, 1, &buffer);
    EXPECT_EQ(buffer.data, nullptr);
  }
  UA_StatusCode send(UA_ByteString& buffer) {
    const UA_StatusCode status = sendWithConnection(this, 1, &UA_KEYVALUEMAP_NULL, &buffer);
    EXPECT_EQ(buffer.data, nullptr) << "it is the manager's again";
    return status;
  }

  /// What has come at once; nothing: recv() has returned this.
  std::string receive_at_once(int socket, ssize_t& n) {
    std::string out;
    n = receive(socket, [&](const UA_ByteString& bytes) {
      out = view(bytes);
      received = bytes.data;
    });
    return out;
  }

  const UA_Byte* received = nullptr;
  std::string sent;
  bool throws = false;

 private:
  UA_StatusCode open(void*, void*, Callback) override { return UA_STATUSCODE_GOOD; }
  UA_StatusCode send(uintptr_t, std::string_view bytes) override {
    if (throws) {
      throw std::bad_alloc();
    }
    sent += bytes;
    return UA_STATUSCODE_GOOD;
  }
  UA_StatusCode close(uintptr_t) override { return UA_STATUSCODE_GOOD; }
};

class AConnectionManager : public testing::Test {
 protected:
  test::FakeHost fake_;
  Host host_{fake_.raw()};
  UA_Logger logger_{};
  EventLoop loop_{host_, &logger_};
  Manager manager_{loop_};
};

TEST_F(AConnectionManager, LendsTheSameBufferForEachMessage) {
  UA_ByteString first = manager_.lend(8192);
  const UA_Byte* const kept = first.data;
  first.length = 5;  // the library cuts it to the message
  EXPECT_EQ(manager_.send(first), UA_STATUSCODE_GOOD);
  EXPECT_EQ(manager_.sent, "xxxxx");
  UA_ByteString shorter = manager_.lend(100);
  EXPECT_EQ(shorter.data, kept);
  manager_.take_back(shorter);
  manager_.take_back(shorter);  // as the library does behind a send
  UA_ByteString longer = manager_.lend(65536);
  manager_.take_back(longer);
}

TEST_F(AConnectionManager, HasAnotherOneWhileTheFirstIsLent) {
  UA_ByteString first = manager_.lend(8192);
  UA_ByteString second = manager_.lend(65536);
  EXPECT_NE(first.data, second.data);
  manager_.take_back(first);
  UA_ByteString third = manager_.lend(8192);
  EXPECT_NE(third.data, second.data);
  manager_.take_back(second);
  manager_.take_back(third);
}

TEST_F(AConnectionManager, LetsNothingUnwindThroughTheLibrary) {
  manager_.throws = true;
  UA_ByteString buffer = manager_.lend(8192);
  EXPECT_EQ(manager_.send(buffer), UA_STATUSCODE_BADOUTOFMEMORY);
  UA_ByteString next = manager_.lend(8192);
  manager_.take_back(next);
}

class Receiving : public AConnectionManager {
 protected:
  Receiving() {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends_), 0);
    const int room = 1 << 20;
    setsockopt(ends_[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  }
  ~Receiving() override {
    close(ends_[0]);
    close(ends_[1]);
  }
  void peer_sends(const std::string& bytes) {
    ASSERT_EQ(send(ends_[1], bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  }
  std::string receive() { return manager_.receive_at_once(ends_[0], n_); }

  int ends_[2] = {};
  ssize_t n_ = 0;
};

TEST_F(Receiving, GivesWhatHasComeShortOrLong) {
  peer_sends("short");
  EXPECT_EQ(receive(), "short");
  const std::string longer(100'000, 'x');
  peer_sends(longer);
  EXPECT_EQ(receive(), longer) << "more than the largest chunk";
  peer_sends("y");
  EXPECT_EQ(receive(), "y");
  EXPECT_EQ(n_, 1);
}

TEST_F(Receiving, SaysThatNothingHasComeAndThatNothingWill) {
  EXPECT_EQ(receive(), "");
  EXPECT_EQ(n_, -1);
  EXPECT_EQ(errno, EAGAIN);
  shutdown(ends_[1], SHUT_WR);
  EXPECT_EQ(receive(), "");
  EXPECT_EQ(n_, 0);
}

#if defined(__SANITIZE_ADDRESS__)
TEST_F(Receiving, WhatHasComeIsGoneWhenItWasLookedAt) {
  peer_sends("short");
  receive();
  EXPECT_TRUE(__asan_address_is_poisoned(manager_.received));
}
#endif

}  // namespace
}  // namespace backplane::opcua
