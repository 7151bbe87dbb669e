// SPDX-License-Identifier: Apache-2.0
// A channel on a loop, against another, or against a side that does what it likes.
#include "plugins/isolation/link/ring_channel.hpp"

#include "backplane/sdk/kernel.hpp"
#include "support/eventually.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <functional>
#include <future>
#include <memory>
#include <poll.h>
#include <string>
#include <sys/socket.h>

namespace backplane::isolation {
namespace {

using namespace std::chrono_literals;
using test::eventually;
using testing::HasSubstr;

class User final : public ChannelUser {
 public:
  std::function<void(uint64_t ping)> on_ping;
  std::atomic<int> frames{0};
  std::atomic<size_t> log_bytes{0};
  std::atomic<size_t> descriptors{0};

  void received(wire::Frame::Reader frame, std::span<UniqueFd> came) override {
    descriptors += came.size();
    if (frame.which() == wire::Frame::LOG) {
      log_bytes += frame.getLog().getMessage().size();
    }
    ++frames;
    if (on_ping && frame.which() == wire::Frame::PING) {
      on_ping(frame.getPing());
    }
  }
  void ended(const Status& why) noexcept override { end_.set_value(why); }
  Status end() {
    auto future = end_.get_future();
    return future.wait_for(10s) == std::future_status::ready ? future.get()
                                                             : Status(BP_DEADLINE_EXCEEDED, "none");
  }

 private:
  std::promise<Status> end_;
};

void send_ping(RingChannel& channel, uint64_t number, std::span<const int> descriptors = {}) {
  capnp::MallocMessageBuilder message;
  message.getRoot<wire::Frame>().setPing(number);
  channel.send(message, descriptors);
}

void send_log(RingChannel& channel, size_t bytes) {
  capnp::MallocMessageBuilder message(static_cast<unsigned>(bytes / sizeof(Word) + 64));
  message.getRoot<wire::Frame>().initLog().initMessage(static_cast<unsigned>(bytes));
  channel.send(message, {});
}

/// Two ends of a link, and its memory once more.
struct Link {
  LinkEnds proxy;
  LinkEnds host;
  SharedMemory memory;
};
Link make_link() {
  int sockets[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets), 0);
  SharedMemory memory =
      SharedMemory::open(NativeKey("link", BP_KEY_ANONYMOUS),
                         {.size = sizeof(LinkMemory), .plain = true, .fixed = true})
          .value();
  const UniqueFd given(memory.descriptor().value());
  const auto again = [&] {
    return SharedMemory::adopt(given.get(), {.size = sizeof(LinkMemory), .plain = true}).value();
  };
  return {LinkEnds(UniqueFd(sockets[0]), std::move(memory), Side::kProxy),
          LinkEnds(UniqueFd(sockets[1]), again(), Side::kHost), again()};
}

/// A loop with one side of a link.
class OnALoop {
 public:
  OnALoop() { kernel_.start().or_throw(); }
  ~OnALoop() {
    run([this] { channel.reset(); });
  }

  void start(LinkEnds ends) {
    channel = std::make_unique<RingChannel>(kernel_.host(), std::move(ends), 0);
    channel->start(user);
  }
  /// On the loop, and waits for that.
  void run(const std::function<void()>& body) {
    std::promise<void> done;
    post(kernel_.host(), [&] {
      body();
      done.set_value();
    }).or_throw();
    done.get_future().wait();
  }

  /// The two sides have the memory at two addresses, so nothing else orders this before a ping.
  void on_ping(std::function<void(uint64_t ping)> then) {
    run([&] { user.on_ping = std::move(then); });
  }

  User user;
  std::unique_ptr<RingChannel> channel;

 private:
  Kernel kernel_ = Kernel::create().value();
};

class TwoChannels : public testing::Test {
 protected:
  TwoChannels() : TwoChannels(make_link()) {}
  explicit TwoChannels(Link link) : memory_(std::move(link.memory)) {
    a_.start(std::move(link.proxy));
    b_.start(std::move(link.host));
  }
  std::atomic<uint32_t>& b_sleeps() { return memory_.as<LinkMemory>().to_host.reader_sleeps; }

  SharedMemory memory_;
  OnALoop a_;
  OnALoop b_;
};

TEST_F(TwoChannels, AnswerEachOther) {
  b_.on_ping([&](uint64_t number) { send_ping(*b_.channel, number + 1); });
  std::atomic<uint64_t> last{0};
  a_.on_ping([&](uint64_t number) {
    last = number;
    if (number < 2001) {
      send_ping(*a_.channel, number + 1);
    }
  });
  send_ping(*a_.channel, 0);
  EXPECT_TRUE(eventually([&] { return last == 2001; })) << last;
}

TEST_F(TwoChannels, CarryWhatIsLargerThanTheRing) {
  constexpr size_t kSize = 10'000'000;
  send_log(*a_.channel, kSize);
  send_log(*b_.channel, kSize);
  EXPECT_TRUE(eventually([&] { return a_.user.log_bytes == kSize && b_.user.log_bytes == kSize; }));
  EXPECT_EQ(a_.channel->waiting(), 0u);
}

TEST_F(TwoChannels, CarryBothWaysWhatFillsTheRings) {
  constexpr int kFrames = 2000;
  std::thread other([&] {
    for (int i = 0; i < kFrames; ++i) send_log(*b_.channel, 5000);
  });
  for (int i = 0; i < kFrames; ++i) send_log(*a_.channel, 7000);
  other.join();
  EXPECT_TRUE(eventually([&] { return a_.user.frames == kFrames && b_.user.frames == kFrames; }))
      << a_.user.frames << " " << b_.user.frames;
}

TEST_F(TwoChannels, CarryDescriptorsThatComeWhileTheLoopIsBusy) {
  const std::vector<int> each(kMostDescriptors, 0);
  std::promise<void> go_on;
  std::thread busy([&] { b_.run([&] { go_on.get_future().wait(); }); });
  for (uint64_t i = 0; i < 8; ++i) send_ping(*a_.channel, i, each);
  go_on.set_value();
  busy.join();
  EXPECT_TRUE(eventually([&] { return b_.user.frames == 8; })) << b_.user.frames;
  EXPECT_EQ(b_.user.descriptors, 8 * kMostDescriptors);
}

TEST_F(TwoChannels, HearOnAfterOneHasWaitedForAFrame) {
  a_.on_ping([&](uint64_t) {
    EXPECT_TRUE(eventually([&] { return b_sleeps() != 0; }));
    send_ping(*a_.channel, 1);
  });
  b_.run([&] {
    b_sleeps() = 0;  // until it waits
    send_ping(*b_.channel, 7);
    b_.channel->receive_until([](wire::Frame::Reader frame) { return frame.getPing() == 1; });
  });
  EXPECT_EQ(b_.user.frames, 1);
  send_ping(*a_.channel, 2);
  send_ping(*a_.channel, 3);
  EXPECT_TRUE(eventually([&] { return b_.user.frames == 3; })) << b_.user.frames;
}

/// The other side is the test.
class AChannel : public testing::Test {
 protected:
  AChannel() : AChannel(make_link()) {}
  explicit AChannel(Link link) : other_(std::move(link.host)) { sut_.start(std::move(link.proxy)); }

  /// Words of a ping, with the head before them.
  static std::string ping(uint32_t descriptors = 0) {
    capnp::MallocMessageBuilder message;
    message.getRoot<wire::Frame>().setPing(5);
    const auto words = capnp::messageToFlatArray(message);
    const FrameHead head{static_cast<uint32_t>(words.size()), descriptors};
    std::string out(reinterpret_cast<const char*>(&head), sizeof head);
    return out.append(reinterpret_cast<const char*>(words.begin()), words.asBytes().size());
  }
  void put(std::string_view bytes) {
    other_.out().put(bytes.data(), bytes.size());
    other_.out().publish();
  }
  void write(std::string_view bytes) {
    put(bytes);
    other_.ring_bell();
  }
  void give(int count) {
    std::vector<int> descriptors(static_cast<size_t>(count), 0);
    char bell = 0;
    iovec bytes{&bell, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMostDescriptors)]{};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptors.size());
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * descriptors.size());
    std::memcpy(CMSG_DATA(head), descriptors.data(), sizeof(int) * descriptors.size());
    EXPECT_EQ(sendmsg(other_.socket(), &message, MSG_NOSIGNAL), 1);
  }
  bool is_rung(std::chrono::milliseconds within) const {
    pollfd wait{other_.socket(), POLLIN, 0};
    return poll(&wait, 1, static_cast<int>(within.count())) == 1;
  }

  LinkEnds other_;
  OnALoop sut_;
};

TEST_F(AChannel, RingsOnlyForWhatIsNew) {
  ASSERT_TRUE(other_.in().sleep());
  for (int i = 0; i < 10; ++i) {
    other_.ring_bell();
    sut_.run([] {});
  }
  EXPECT_FALSE(is_rung(100ms));
  send_ping(*sut_.channel, 1);
  EXPECT_TRUE(is_rung(10s));
}

// The bell that tells of room comes while a frame is worked off that claims a descriptor.
TEST_F(AChannel, GoesOnWithItsQueueWhateverTakesTheBell) {
  constexpr size_t kSize = 200'000;
  std::vector<char> taken(RingMemory::kSize);
  std::atomic<size_t> got{0};
  sut_.on_ping([&, is_first = true](uint64_t) mutable {
    if (std::exchange(is_first, false)) {
      got += other_.receive(taken.data(), taken.size());
      give(1);
      put(ping(1));
    }
  });
  send_log(*sut_.channel, kSize);
  write(ping());
  ASSERT_TRUE(eventually([&] { return sut_.user.frames == 2; }));
  EXPECT_TRUE(eventually([&] {
    got += other_.receive(taken.data(), taken.size());
    return got >= kSize;
  })) << got;
}

TEST_F(AChannel, KeepsNoMoreOfItsQueueThanWaits) {
  std::vector<char> taken(RingMemory::kSize);
  const auto take = [&] {
    while (other_.receive(taken.data(), taken.size()) != 0) {
      sut_.run([] {});
    }
  };
  for (int i = 0; i < 200; ++i) send_log(*sut_.channel, 4000);
  const size_t most = sut_.channel->waiting();
  for (int i = 0; i < 1000; ++i) {
    send_log(*sut_.channel, 4000);
    other_.receive(taken.data(), 4100);
    sut_.run([] {});
  }
  EXPECT_LE(sut_.channel->waiting(), most + 100'000);
  EXPECT_LE(sut_.channel->kept(), 3 * most);
  EXPECT_TRUE(eventually([&] { return take(), sut_.channel->waiting() == 0; }));
}

TEST_F(AChannel, GivesWhatCameBeforeTheEnd) {
  for (int i = 0; i < 3; ++i) {
    const std::string frame = ping();
    other_.out().put(frame.data(), frame.size());
  }
  other_.out().publish();
  shutdown(other_.socket(), SHUT_RDWR);
  EXPECT_EQ(sut_.user.end().code(), BP_UNAVAILABLE);
  EXPECT_EQ(sut_.user.frames, 3);
}

TEST_F(AChannel, EndsThoughAFrameIsNotWhole) {
  const std::string frame = ping();
  write(std::string_view(frame).substr(0, frame.size() - 8));
  shutdown(other_.socket(), SHUT_RDWR);
  EXPECT_EQ(sut_.user.end().code(), BP_UNAVAILABLE);
  EXPECT_EQ(sut_.user.frames, 0);
}

TEST_F(AChannel, EndsThoughItsRingIsNeverEmptyAfterTheOtherSideHasGone) {
  const std::string frame = ping();
  std::atomic<bool> is_over{false};
  std::thread writing([&] {
    for (bool is_first = true; !is_over; is_first = false) {
      if (other_.out().room() >= frame.size()) {
        other_.out().put(frame.data(), frame.size());
        other_.out().publish();
      }
      if (is_first) shutdown(other_.socket(), SHUT_RDWR);
    }
  });
  EXPECT_EQ(sut_.user.end().code(), BP_UNAVAILABLE);
  is_over = true;
  writing.join();
}

TEST_F(AChannel, RefusesDescriptorsThatNoFrameClaims) {
  for (int i = 0; i < 2; ++i) give(kMostDescriptors);
  const Status why = sut_.user.end();
  EXPECT_EQ(why.code(), BP_DATA_LOSS);
  EXPECT_THAT(std::string(why.message()), HasSubstr("more descriptors than the frames claim"));
}

TEST_F(AChannel, RefusesAFrameWhoseDescriptorsDidNotCome) {
  write(ping(1));
  EXPECT_THAT(std::string(sut_.user.end().message()), HasSubstr("descriptors that did not come"));
}

TEST_F(AChannel, LetsOthersHaveTheLoopHoweverOftenItIsRung) {
  std::atomic<bool> is_over{false};
  std::thread ringing([&] {
    const std::string bells(4096, '\0');
    while (!is_over) {
      static_cast<void>(::send(other_.socket(), bells.data(), bells.size(), MSG_DONTWAIT));
    }
  });
  for (int i = 0; i < 20; ++i) sut_.run([] {});
  is_over = true;
  ringing.join();
}

}  // namespace
}  // namespace backplane::isolation
