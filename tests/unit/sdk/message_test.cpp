// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/message.hpp"

#include "backplane/sdk/operation.hpp"
#include "support/allocations.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <thread>
#include <unistd.h>

namespace backplane {
namespace {

using test::allocations;

TEST(AMessage, FindsHeadersByIdAndByName) {
  MessageBuilder message(1);
  message.header(BP_H_QOS, 1).header("unit", "Cel").header("14", "a name, not an id");
  const MessageView sut = message;
  EXPECT_EQ(sut.header<int>(BP_H_QOS), 1);
  EXPECT_EQ(sut.header<std::string>("unit"), "Cel");
  EXPECT_FALSE(sut.header(BP_H_PATH));
  EXPECT_FALSE(sut.header<int>("unit")) << "not a number";
}

TEST(AMessage, IsEmptyByDefault) {
  const MessageView sut;
  EXPECT_TRUE(sut.body().is_null());
  EXPECT_FALSE(sut.time());
  EXPECT_EQ(MessageView(static_cast<const bp_message*>(nullptr)).headers().size(), 0u);
}

TEST(AMessage, CarriesTimeFlagsAndNumber) {
  const Time now =
      std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
  MessageBuilder message("x");
  message.time(now).seq(7).flags(BP_M_INITIAL);
  const MessageView sut = message;
  EXPECT_EQ(sut.time(), now);
  EXPECT_EQ(sut.seq(), 7u);
  EXPECT_TRUE(sut.is_initial());
  EXPECT_FALSE(sut.is_last());
}

TEST(ABuilder, NeedsNoHeapForASmallMessage) {
  const size_t before = allocations();
  MessageBuilder message(21.5);
  message.headers({{BP_H_QOS, 1}, {BP_H_CONTENT_TYPE, "application/json"}, {"unit", "Cel"}});
  EXPECT_EQ(message.view().n_headers, 3u);
  EXPECT_EQ(allocations() - before, 0u);
}

TEST(AnOwnedMessage, OutlivesWhatItWasMadeFrom) {
  OwnedMessage sut;
  {
    const std::string text(300, 't'), unit = "Cel";
    MessageBuilder message(text);
    message.header("unit", unit).seq(3);
    sut = OwnedMessage(MessageView(message));
  }
  EXPECT_EQ(sut.as<std::string>().value(), std::string(300, 't'));
  EXPECT_EQ(sut.view().header<std::string>("unit"), "Cel");
  EXPECT_EQ(sut.view().seq(), 3u);
}

TEST(AnOwnedMessage, CostsOneAllocation) {
  StackArena<> arena;
  MessageBuilder message(arena.map({{"a", arena.list({1, 2, 3})}, {"b", "text"}}));
  message.header("unit", "Cel");
  const size_t before = allocations();
  const OwnedMessage sut{MessageView(message)};
  EXPECT_EQ(allocations() - before, 1u);
  const OwnedMessage copy = sut;
  EXPECT_EQ(allocations() - before, 1u);
  EXPECT_EQ(copy.body(), sut.body());
}

TEST(AnOwnedMessage, CostsNoneForAScalar) {
  MessageBuilder message(21.5);
  const size_t before = allocations();
  const OwnedMessage sut{MessageView(message)};
  EXPECT_EQ(allocations() - before, 0u);
  EXPECT_EQ(sut.as<double>().value(), 21.5);
}

TEST(AnOwnedMessage, SharesTheBufferOfACountedMessage) {
  Buffer buffer = Buffer::make(3);
  std::memcpy(buffer.data(), "abc", 3);
  OwnedMessage sut;
  {
    MessageBuilder message(ValueView::bytes(buffer.data(), 3));
    message.owner(buffer.get());
    const size_t before = allocations();
    sut = OwnedMessage(MessageView(message));
    EXPECT_EQ(allocations() - before, 0u);
  }
  EXPECT_EQ(sut.body().as.p, buffer.data());
  buffer = Buffer();
  EXPECT_EQ(std::memcmp(sut.body().as.p, "abc", 3), 0);
}

TEST(AnOwnedMessage, GivesItsOwnershipAway) {
  OwnedMessage message{ValueView("text")};
  const bp_message out = std::move(message).release();
  ASSERT_NE(out.owner, nullptr);
  const OwnedMessage back = OwnedMessage::take(out);
  EXPECT_EQ(back.as<std::string>().value(), "text");
}

// ---- descriptors ----

/// Both ends of a pipe; the read end of a closed one tells that nobody writes any more.
struct Pipe {
  Pipe() { EXPECT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0); }
  ~Pipe() {
    close(ends[0]);
    close_mine();
  }
  void close_mine() {
    if (const int mine = std::exchange(ends[1], -1); mine >= 0) close(mine);
  }
  bool has_writer() const {
    char byte = 0;
    return read(ends[0], &byte, 1) < 0 && errno == EAGAIN;
  }
  int ends[2] = {-1, -1};
};

bool is_open(const bp_value& value) { return fcntl(static_cast<int>(value.as.i), F_GETFD) >= 0; }

TEST(AnOwnedMessage, KeepsADuplicateOfADescriptorUntilItsLastCopyGoes) {
  Pipe pipe;
  std::optional<OwnedMessage> sut(OwnedMessage(ValueView::descriptor(pipe.ends[1])));
  EXPECT_EQ(sut->body().tag, BP_T_FD);
  EXPECT_NE(sut->body().as.i, pipe.ends[1]);
  EXPECT_NE(fcntl(static_cast<int>(sut->body().as.i), F_GETFD) & FD_CLOEXEC, 0);
  pipe.close_mine();
  {
    const OwnedMessage copy = *sut;
    sut.reset();
    EXPECT_TRUE(is_open(copy.body()));
    EXPECT_TRUE(pipe.has_writer());
  }
  EXPECT_FALSE(pipe.has_writer());
}

TEST(AnOwnedMessage, KeepsDescriptorsAnywhereInItsTree) {
  Pipe pipe;
  {
    StackArena<> arena;
    const ValueView descriptor = ValueView::descriptor(pipe.ends[1]);
    MessageBuilder message(arena.list({1, arena.map({{"out", descriptor}}), "text"}));
    message.header("err", descriptor);
    const OwnedMessage sut{MessageView(message)};
    pipe.close_mine();
    EXPECT_TRUE(is_open(*sut.body().at(1).find("out")));
    EXPECT_TRUE(is_open(*sut.view().header("err")));
    EXPECT_EQ(sut.body().at(2).get<std::string>(), "text");
  }
  EXPECT_FALSE(pipe.has_writer());
}

TEST(AnOwnedMessage, RefusesADescriptorThatIsNotOpenAndClosesTheOthers) {
  Pipe pipe;
  StackArena<> arena;
  const ValueView list =
      arena.list({ValueView::descriptor(pipe.ends[1]), ValueView::descriptor(-1)});
  try {
    const OwnedMessage sut(list);
    ADD_FAILURE() << "it was kept";
  } catch (const Error& error) {
    EXPECT_EQ(error.status().code(), BP_INVALID_ARGUMENT);
    EXPECT_EQ(error.status().message(), "descriptor -1 cannot be kept: Bad file descriptor");
  }
  pipe.close_mine();
  EXPECT_FALSE(pipe.has_writer());
}

TEST(AnOwnedMessage, LeavesTheDescriptorsOfACountedMessageToItsOwner) {
  Pipe pipe;
  const Buffer owner = Buffer::make(8);
  MessageBuilder message(ValueView::descriptor(pipe.ends[1]));
  const OwnedMessage sut{MessageView(message.owner(owner.get()))};
  EXPECT_EQ(sut.body().as.i, pipe.ends[1]);
}

TEST(ABuffer, IsReleasedByItsLastOwnerOnAnyThread) {
  Buffer sut = Buffer::make(1000);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(sut.data()) % 16, 0u);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([copy = sut] {
      for (int n = 0; n < 1000; ++n) const Buffer another = copy;
    });
  }
  sut = Buffer();
  for (std::thread& thread : threads) thread.join();
}

struct AnOperation : ::testing::Test {
  AnOperation() {
    raw.scratch = scratch;
    raw.scratch_len = sizeof scratch;
  }
  bp_op raw{};
  alignas(16) std::byte scratch[64];
  Op sut{&raw};
};

TEST_F(AnOperation, IsAnsweredWithAScalarByValue) {
  EXPECT_TRUE(sut.reply(21.5).is_ok());
  EXPECT_EQ(raw.out.body.as.f, 21.5);
  EXPECT_EQ(raw.out.owner, nullptr);
  EXPECT_EQ(raw.out.time_ns, BP_TIME_NONE);
}

TEST_F(AnOperation, IsAnsweredInTheScratchWhereThatIsLongEnough) {
  EXPECT_TRUE(sut.reply("short").is_ok());
  EXPECT_EQ(raw.out.body.as.p, static_cast<void*>(scratch));
  EXPECT_EQ(raw.out.owner, nullptr);
}

TEST_F(AnOperation, IsAnsweredInABufferWhereItIsNot) {
  const std::string text(65, 'x');
  EXPECT_TRUE(sut.reply(text).is_ok());
  ASSERT_NE(raw.out.owner, nullptr);
  EXPECT_EQ(OwnedMessage::take(raw.out).as<std::string>().value(), text);
}

TEST_F(AnOperation, IsAnsweredWithADuplicateOfADescriptor) {
  Pipe pipe;
  EXPECT_TRUE(sut.reply(ValueView::descriptor(pipe.ends[1])).is_ok());
  pipe.close_mine();
  ASSERT_NE(raw.out.owner, nullptr);
  EXPECT_TRUE(is_open(raw.out.body));
  raw.out.owner->ops->release(raw.out.owner);
  EXPECT_FALSE(pipe.has_writer());
}

TEST_F(AnOperation, IsAnsweredWithHeadersToo) {
  MessageBuilder message(1);
  message.header(BP_H_STATUS, 205);
  EXPECT_TRUE(sut.reply(MessageView(message)).is_ok());
  EXPECT_EQ(MessageView(raw.out).header<int>(BP_H_STATUS), 205);
  EXPECT_EQ(raw.out.owner, nullptr);
}

TEST_F(AnOperation, HasAnEmptyRequestWhenNoneWasGiven) { EXPECT_TRUE(sut.in().body().is_null()); }

}  // namespace
}  // namespace backplane
