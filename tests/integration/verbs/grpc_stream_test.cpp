// SPDX-License-Identifier: Apache-2.0
// A bidirectional stream: back-pressure both ways, half-close, trailers and status, reset, and the
// same as a server.
#include "integration/verbs/client.hpp"
#include "support/eventually.hpp"

#include <memory>

namespace backplane::test {
namespace {

// As large as the fake peer's window.
constexpr int kWindow = 4;

class GrpcStream : public Fixture {
 protected:
  void SetUp() override {
    Fixture::SetUp();
    if (HasFatalFailure()) return;
    peer_ = open("chat/peer");
  }

  // A stream, closed by the caller.
  bp_ref open_stream() {
    Operation opening(*this, BP_V_CALL, open("chat"), BP_OP_DUPLEX);
    opening.meta("authorization", value_text("token"));
    EXPECT_EQ(opening.run(), BP_OK) << opening.error_text();
    EXPECT_EQ(opening.out().body.tag, BP_T_REF);
    return opening.out().body.as.u;
  }

  // What the peer takes out of its window: how many messages, and whether the stream's end was
  // seen.
  std::pair<std::uint32_t, bool> peer_reads(std::uint64_t n) {
    Operation read(*this, BP_V_CALL, peer_);
    read.header(BP_H_METHOD, value_text("read")).body(value_uint(n, 32));
    EXPECT_EQ(read.run(), BP_OK);
    return {read.out().body.len, (read.out().flags & BP_M_LAST) != 0};
  }

  bp_ref peer_ = 0;
};

TEST_P(GrpcStream, WritesPendWhileThePeerIsSlowAndGoOnWhenItReads) {
  const bp_ref stream = open_stream();
  for (int i = 0; i < kWindow; ++i) {
    EXPECT_EQ(Operation(*this, BP_V_WRITE, stream).body(value_uint(1, 32)).run(), BP_OK);
  }
  Operation first(*this, BP_V_WRITE, stream);
  Operation second(*this, BP_V_WRITE, stream);
  EXPECT_EQ(first.body(value_uint(2, 32)).submit(), BP_PENDING);
  EXPECT_EQ(second.body(value_uint(3, 32)).submit(), BP_PENDING);
  barrier();
  EXPECT_FALSE(first.finished());

  EXPECT_EQ(peer_reads(1).first, 1u);
  EXPECT_EQ(first.wait(), BP_OK);
  barrier();
  EXPECT_FALSE(second.finished()) << "writes keep their order, one place was free";
  EXPECT_EQ(peer_reads(1).first, 1u);
  EXPECT_EQ(second.wait(), BP_OK);
  close(stream);
}

TEST_P(GrpcStream, APendingWriteCanBeCancelled) {
  const bp_ref stream = open_stream();
  for (int i = 0; i < kWindow; ++i) {
    EXPECT_EQ(Operation(*this, BP_V_WRITE, stream).body(value_uint(1, 32)).run(), BP_OK);
  }
  Operation write(*this, BP_V_WRITE, stream);
  EXPECT_EQ(write.body(value_uint(2, 32)).submit(), BP_PENDING);
  write.cancel();
  EXPECT_EQ(write.wait(), BP_CANCELLED);
  EXPECT_EQ(write.completions(), 1);
  EXPECT_EQ(peer_reads(16).first, static_cast<std::uint32_t>(kWindow));
  close(stream);
}

TEST_P(GrpcStream, ThePeerCanSendNoMoreThanTheCreditOfTheWatchAndTheWindow) {
  const bp_ref stream = open_stream();
  Watch watch(*this, stream);
  EXPECT_EQ(watch.credit(0).submit(), BP_PENDING);
  for (std::uint64_t i = 0; i < kWindow; ++i) {
    EXPECT_EQ(call(peer_, "send", value_uint(i, 32)), BP_OK);
  }
  Operation blocked(*this, BP_V_CALL, peer_);
  blocked.header(BP_H_METHOD, value_text("send")).body(value_uint(kWindow, 32));
  EXPECT_EQ(blocked.submit(), BP_PENDING);
  barrier();
  EXPECT_FALSE(blocked.finished()) << "the window is full";
  EXPECT_EQ(watch.count(), 0u) << "nothing flows before credit";

  watch.grant(2);  // one for the initial metadata, one for a message
  watch.await(2);
  EXPECT_EQ(blocked.wait(), BP_OK);
  barrier();
  EXPECT_EQ(watch.count(), 2u);
  EXPECT_EQ(watch.at(0).flags & BP_M_INITIAL, BP_M_INITIAL);
  EXPECT_EQ(watch.at(0).body.tag, BP_T_NULL);
  EXPECT_TRUE(value_is_text(find_metadata(&watch.at(0), "server"), "fake"));
  EXPECT_EQ(watch.at(1).body.as.u, 0u);

  watch.grant(UINT32_MAX);
  watch.await(2 + kWindow);
  for (std::uint64_t i = 0; i <= kWindow; ++i) EXPECT_EQ(watch.at(1 + i).body.as.u, i);
  close(stream);
  EXPECT_EQ(watch.wait(), BP_CANCELLED) << "closing a reference cancels what pends through it";
}

TEST_P(GrpcStream, LastHalfClosesWithAMessageOrWithoutOne) {
  bp_ref stream = open_stream();
  EXPECT_EQ(
      Operation(*this, BP_V_WRITE, stream).body(value_bytes("", 0)).message_flags(BP_M_LAST).run(),
      BP_OK);
  EXPECT_EQ(peer_reads(16), std::make_pair(1u, true)) << "an empty message is a message";
  EXPECT_EQ(Operation(*this, BP_V_WRITE, stream).body(value_uint(1, 32)).run(),
            BP_FAILED_PRECONDITION);
  close(stream);

  stream = open_stream();
  EXPECT_EQ(Operation(*this, BP_V_WRITE, stream).message_flags(BP_M_LAST).run(), BP_OK);
  EXPECT_EQ(peer_reads(16), std::make_pair(0u, true));
  close(stream);
}

TEST_P(GrpcStream, TheCompletionOfTheWatchHasStatusAndTrailersAfterTheLastMessage) {
  const bp_ref stream = open_stream();
  Watch watch(*this, stream);
  EXPECT_EQ(watch.credit(1).submit(), BP_PENDING);
  EXPECT_EQ(call(peer_, "send", value_text("goodbye")), BP_OK);
  EXPECT_EQ(Operation(*this, BP_V_CALL, peer_)
                .header(BP_H_METHOD, value_text("finish"))
                .body(value_int(BP_RESOURCE_EXHAUSTED, 32))
                .meta("grpc-status-details-bin", value_bytes("\x08\x08", 2))
                .run(),
            BP_OK);
  barrier();
  EXPECT_FALSE(watch.finished()) << "a message is left, and no credit for it";
  watch.grant(1);
  EXPECT_EQ(watch.wait(), BP_RESOURCE_EXHAUSTED);
  EXPECT_EQ(watch.count(), 2u);
  EXPECT_EQ(text_of(watch.at(1).body), "goodbye");
  EXPECT_EQ(watch.error().native, 8);
  EXPECT_STREQ(watch.error().domain, "grpc");
  const bp_value* details = find_metadata(&watch.out(), "grpc-status-details-bin");
  ASSERT_NE(details, nullptr) << "a failure has its trailers, too";
  EXPECT_EQ(details->tag, BP_T_BYTES);
  EXPECT_EQ(details->len, 2u);
  EXPECT_EQ(watch.completions(), 1);
  close(stream);
}

TEST_P(GrpcStream, TheMetadataOfTheCallReachesThePeer) {
  const bp_ref stream = open_stream();
  Operation metadata(*this, BP_V_CALL, peer_);
  EXPECT_EQ(metadata.header(BP_H_METHOD, value_text("metadata")).run(), BP_OK);
  EXPECT_TRUE(value_is_text(find_metadata(&metadata.out(), "authorization"), "token"));
  close(stream);
}

TEST_P(GrpcStream, ClosingTheReferenceResetsTheStream) {
  const bp_ref stream = open_stream();
  EXPECT_EQ(Operation(*this, BP_V_WRITE, stream).body(value_uint(1, 32)).run(), BP_OK);
  close(stream);
  EXPECT_EQ(Operation(*this, BP_V_WRITE, stream).body(value_uint(1, 32)).run(),
            BP_FAILED_PRECONDITION)
      << "a closed reference is never valid again";
  EXPECT_EQ(call(peer_, "await_reset", value_null()), BP_OK);
  EXPECT_EQ(peer_reads(16).first, 0u);
}

TEST_P(GrpcStream, AMethodThatStreamsRefusesAPlainCall) {
  EXPECT_EQ(Operation(*this, BP_V_CALL, open("chat")).run(), BP_UNIMPLEMENTED);
}

// The server's side: the handler answers the duplex call with an end of its own.
TEST_P(GrpcStream, AServerAnswersADuplexCallWithItsOwnEnd) {
  Handler* server_end = nullptr;
  std::mutex mutex;
  bp_op* replies = nullptr;  // the WATCH of the client
  std::vector<std::string> received;
  Handler own_end(*this, BP_VERB_BIT(BP_V_WRITE) | BP_VERB_BIT(BP_V_WATCH));
  server_end = &own_end;
  own_end.on_submit = [&](bp_op* op) -> bp_status {
    const std::lock_guard lock(mutex);
    if (op->verb == BP_V_WRITE) {
      received.push_back(text_of(op->in->body));
      return BP_OK;
    }
    replies = op;
    return BP_PENDING;
  };
  const auto take_replies = [&] {
    const std::lock_guard lock(mutex);
    return std::exchange(replies, nullptr);
  };
  own_end.on_cancel = [&](bp_op* op) {
    if (take_replies() != nullptr) endpoints().complete(host(), op, BP_CANCELLED);
  };
  Handler method(*this, BP_CAN_DUPLEX);
  method.on_submit = [&](bp_op* op) -> bp_status {
    EXPECT_EQ(op->flags, BP_OP_DUPLEX);
    EXPECT_TRUE(value_is_text(find_header(op->in, BP_H_PATH), "greeter/chat"));
    op->out.body = value_ref(server_end->give_away());
    return BP_OK;
  };
  Operation serve(*this, BP_V_SERVE, open("serve/greeter/chat"));
  EXPECT_EQ(serve.body(value_ref(method.ref()))
                .header(BP_H_KIND, value_uint(BP_KIND_BIDI_STREAM, 8))
                .submit(),
            BP_PENDING);

  Operation opening(*this, BP_V_CALL, open("wire/greeter/chat"), BP_OP_DUPLEX);
  ASSERT_EQ(opening.run(), BP_OK) << opening.error_text();
  const bp_ref stream = opening.out().body.as.u;
  EXPECT_EQ(Operation(*this, BP_V_WRITE, stream).body(value_text("hello")).run(), BP_OK);
  Watch watch(*this, stream);
  EXPECT_EQ(watch.credit(8).submit(), BP_PENDING);
  bp_op* op = nullptr;
  ASSERT_TRUE(eventually([&] { return (op = take_replies()) != nullptr; }));
  const bp_message reply = message_of(value_text("hello yourself"));
  EXPECT_EQ(endpoints().deliver(host(), op, &reply, 1), BP_OK);
  static const bp_pair kTrailers[] = {metadata("cost", value_text("1"))};
  op->out.headers = kTrailers;
  op->out.n_headers = 1;
  endpoints().complete(host(), op, BP_OK);

  EXPECT_EQ(watch.wait(), BP_OK);
  EXPECT_EQ(received, std::vector<std::string>{"hello"});
  EXPECT_EQ(text_of(watch.at(0).body), "hello yourself");
  EXPECT_TRUE(value_is_text(find_metadata(&watch.out(), "cost"), "1"));
  close(stream);
  own_end.await_close();
  serve.cancel();
  EXPECT_EQ(serve.wait(), BP_CANCELLED);
}

INSTANTIATE_TEST_SUITE_P(, GrpcStream,
                         testing::Values(Form::kLinked, Form::kLoaded, Form::kIsolated), form_name);

}  // namespace
}  // namespace backplane::test
