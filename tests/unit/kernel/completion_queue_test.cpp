// SPDX-License-Identifier: Apache-2.0
// bp.queue/1: for those who poll.
#include "support/scripted_plugin.hpp"

#include <gtest/gtest.h>

#include <poll.h>
#include <sys/eventfd.h>
#include <thread>
#include <unistd.h>

namespace backplane::test {
namespace {

class CompletionQueueTest : public ::testing::Test {
 protected:
  CompletionQueueTest() {
    EXPECT_EQ(sut.start(), BP_OK);
    queues = static_cast<const bp_queue_service*>(sut.host->get_service(sut.host, BP_S_QUEUE));
    EXPECT_EQ(queues->open(sut.host, &queue, &fd), BP_OK);
    script.submit = [this](bp_op* op) {
      source = op;
      return BP_PENDING;
    };
    script.cancel = [this](bp_op* op) { sut.service->complete(script.host, op, BP_CANCELLED); };
  }
  ~CompletionQueueTest() override { EXPECT_EQ(queues->close(sut.host, queue), BP_OK); }

  bool readable() const {
    pollfd poller{fd, POLLIN, 0};
    return poll(&poller, 1, 0) == 1;
  }
  bp_op* operation(std::uint16_t verb) {
    bp_op* const op = sut.service->op_new(sut.host);
    op->verb = verb;
    op->target = sut.open("it:x");
    op->credit = 100;
    return op;
  }

  Script script;
  ScriptedKernel sut;
  const bp_queue_service* queues = nullptr;
  bp_queue* queue = nullptr;
  std::int32_t fd = -1;
  bp_op* source = nullptr;
};

TEST_F(CompletionQueueTest, GivesACompletionAsAnEvent) {
  bp_op* const op = operation(BP_V_CALL);
  EXPECT_EQ(queues->submit(sut.host, queue, op), BP_PENDING);
  EXPECT_FALSE(readable());
  bp_event event{};
  EXPECT_EQ(queues->poll(sut.host, queue, &event, 1, 0), 0u);
  EXPECT_EQ(queues->close(sut.host, queue), BP_FAILED_PRECONDITION)
      << "an operation pends through it";
  sut.service->complete(script.host, source, BP_NOT_FOUND);
  EXPECT_TRUE(readable());
  EXPECT_EQ(queues->poll(sut.host, queue, &event, 1, -1), 1u);
  EXPECT_EQ(event.op, op);
  EXPECT_EQ(event.kind, BP_EVENT_COMPLETED);
  EXPECT_EQ(event.messages, nullptr);
  EXPECT_EQ(op->status, BP_NOT_FOUND);
  EXPECT_FALSE(readable());
  sut.free_op(op);
}

TEST_F(CompletionQueueTest, ReturnsAnInlineResultWithoutAnEvent) {
  script.submit = nullptr;
  bp_op* const op = operation(BP_V_READ);
  EXPECT_EQ(queues->submit(sut.host, queue, op), BP_OK);
  EXPECT_FALSE(readable());
  sut.free_op(op);
}

TEST_F(CompletionQueueTest, KeepsMessagesUntilTheyAreReleased) {
  bp_op* const op = operation(BP_V_WATCH);
  ASSERT_EQ(queues->submit(sut.host, queue, op), BP_PENDING);
  const int descriptor = eventfd(0, EFD_CLOEXEC);
  {
    std::string text = "short-lived";
    std::uint32_t numbers[] = {1, 2, 3};
    bp_value list[3] = {};
    list[0].tag = BP_T_STRING;
    list[0].len = static_cast<std::uint32_t>(text.size());
    list[0].as.s = text.data();
    list[1].tag = BP_T_ARRAY;
    list[1].aux = BP_TYPE(BP_T_UINT, 32);
    list[1].len = 3;
    list[1].as.p = numbers;
    list[2].tag = BP_T_FD;
    list[2].as.i = descriptor;
    bp_pair header{};
    header.key.tag = BP_T_UINT;
    header.key.as.u = BP_H_PATH;
    header.val = list[0];
    bp_message messages[2] = {};
    messages[0].body.tag = BP_T_LIST;
    messages[0].body.len = 3;
    messages[0].body.as.list = list;
    messages[0].headers = &header;
    messages[0].n_headers = 1;
    messages[1].seq = 2;
    ASSERT_EQ(sut.service->deliver(script.host, source, messages, 2), BP_OK);
    text.assign(text.size(), 'X');
    numbers[2] = 0;
  }
  close(descriptor);
  bp_event event{};
  ASSERT_EQ(queues->poll(sut.host, queue, &event, 1, -1), 1u);
  ASSERT_EQ(event.kind, BP_EVENT_MESSAGES);
  ASSERT_EQ(event.n, 2u);
  const bp_value* list = event.messages[0].body.as.list;
  EXPECT_EQ(std::string_view(list[0].as.s, list[0].len), "short-lived");
  EXPECT_EQ(static_cast<const std::uint32_t*>(list[1].as.p)[2], 3u);
  EXPECT_EQ(eventfd_write(static_cast<int>(list[2].as.i), 1), 0) << "the descriptor was duplicated";
  const std::string_view path(event.messages[0].headers[0].val.as.s,
                              event.messages[0].headers[0].val.len);
  EXPECT_EQ(path, "short-lived");
  EXPECT_EQ(event.messages[1].seq, 2u);
  const int kept = static_cast<int>(list[2].as.i);
  queues->release(sut.host, queue, &event, 1);
  EXPECT_NE(eventfd_write(kept, 1), 0) << "and closed on release";
  sut.service->cancel(sut.host, op);
  ASSERT_EQ(queues->poll(sut.host, queue, &event, 1, -1), 1u);
  EXPECT_EQ(event.op->status, BP_CANCELLED);
  sut.free_op(op);
}

TEST_F(CompletionQueueTest, WakesAPollerThatWaits) {
  bp_op* const op = operation(BP_V_CALL);
  ASSERT_EQ(queues->submit(sut.host, queue, op), BP_PENDING);
  std::thread completer([&] { sut.service->complete(script.host, source, BP_OK); });
  bp_event event{};
  EXPECT_EQ(queues->poll(sut.host, queue, &event, 1, 10'000'000'000), 1u);
  completer.join();
  sut.free_op(op);
}

TEST_F(CompletionQueueTest, OpensAddresses) {
  bp_op* const op = sut.service->op_new(sut.host);
  EXPECT_EQ(queues->open_address(sut.host, queue, BP_STR("it:x"), nullptr, op), BP_OK);
  EXPECT_EQ(queues->open_address(sut.host, queue, BP_STR("scripted://there/x"), nullptr, op),
            BP_PENDING);
  bp_event event{};
  EXPECT_EQ(queues->poll(sut.host, queue, &event, 1, 10'000'000'000), 1u);
  EXPECT_EQ(op->out.body.tag, BP_T_REF);
  sut.free_op(op);
}

}  // namespace
}  // namespace backplane::test
