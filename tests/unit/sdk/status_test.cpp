// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/status.hpp"

#include "backplane/sdk/boundary.hpp"
#include "backplane/sdk/result.hpp"

#include <gtest/gtest.h>

namespace backplane {
namespace {

TEST(AStatus, IsOkUnlessSaidOtherwise) {
  EXPECT_TRUE(Status().is_ok());
  EXPECT_TRUE(Status::pending().is_pending());
  EXPECT_TRUE(Status(BP_NOT_FOUND).is_error());
}

TEST(AStatus, BuildsItsTextFromPartsOfManyTypes) {
  const std::string topic = "a/b";
  const Status sut(BP_NOT_FOUND, "no topic '", topic, "' among ", 3u, ' ', true);
  EXPECT_EQ(sut.message(), "no topic 'a/b' among 3 true");
}

TEST(AStatus, ShowsCodeTextAndNativeNumber) {
  const Status sut = Status(BP_NOT_FOUND, "no such resource").with_native(404, "coap");
  EXPECT_EQ(sut.to_string(), "NOT_FOUND: no such resource (coap 404)");
  EXPECT_EQ(Status(BP_INTERNAL).to_string(), "INTERNAL");
  EXPECT_EQ(status_name(-99), "UNKNOWN");
}

TEST(AStatus, GetsContextInFrontOfItsText) {
  EXPECT_EQ(Status(BP_UNAVAILABLE, "refused").with_context("connect to ", "host:1").message(),
            "connect to host:1: refused");
  EXPECT_EQ(Status(BP_UNAVAILABLE).with_context("connect").message(), "connect: UNAVAILABLE");
  EXPECT_TRUE(Status().with_context("connect").is_ok());
}

TEST(AStatus, SaysWhetherARetryMayHelp) {
  EXPECT_TRUE(Status(BP_UNAVAILABLE).retry());
  EXPECT_FALSE(Status(BP_INVALID_ARGUMENT).retry());
  EXPECT_FALSE(Status(BP_UNAVAILABLE).with_retry(false).retry());
}

TEST(AStatus, CopiesShareAndDoNotDisturbEachOther) {
  const Status first(BP_UNAVAILABLE, "refused");
  const Status second = Status(first).with_context("again");
  EXPECT_EQ(first.message(), "refused");
  EXPECT_EQ(second.message(), "again: refused");
}

TEST(AStatus, CrossesTheAbiAndBack) {
  const Status sent =
      Status(BP_UNAUTHENTICATED, "not authorised").with_native(135, "mqtt").with_retry(true);
  bp_error error{};
  EXPECT_EQ(sent.to(&error), BP_UNAUTHENTICATED);
  const Status got = Status::from(BP_UNAUTHENTICATED, error);
  EXPECT_EQ(got.to_string(), sent.to_string());
  EXPECT_TRUE(got.retry());
  EXPECT_EQ(sent.to(nullptr), BP_UNAUTHENTICATED);
}

TEST(AStatus, IgnoresDetailThatBelongsToAnotherCode) {
  bp_error error{};
  EXPECT_EQ(Status(BP_NOT_FOUND, "old").to(&error), BP_NOT_FOUND);
  EXPECT_EQ(Status::from(BP_INTERNAL, error).message(), "");
}

TEST(AStatus, CutsALongTextBetweenCharacters) {
  std::string text(sizeof(bp_error::message) - 1, 'x');
  text += "\xC3\xA9 and more";  // its two bytes would be split
  bp_error error{};
  EXPECT_EQ(Status(BP_INTERNAL, text).to(&error), BP_INTERNAL);
  EXPECT_EQ(error.message_len, sizeof(bp_error::message) - 1);
  EXPECT_NE(error.flags & BP_ERROR_TRUNCATED, 0u);
}

TEST(AStatus, TrustsNoLengthOfAForeignError) {
  bp_error error{};
  error.code = BP_INTERNAL;
  error.message_len = 1'000'000;
  std::memset(error.domain, 'd', sizeof error.domain);
  const Status sut = Status::from(BP_INTERNAL, error);
  EXPECT_EQ(sut.message().size(), sizeof error.message);
  EXPECT_EQ(sut.domain().size(), sizeof error.domain);
  EXPECT_EQ(sut.to(&error), BP_INTERNAL);  // and back without writing past the field
}

TEST(AResult, HasAValueOrAStatus) {
  const Result<int> good(5);
  EXPECT_EQ(good.value(), 5);
  EXPECT_TRUE(good.status().is_ok());
  const Result<int> bad(Status(BP_NOT_FOUND, "gone"));
  EXPECT_FALSE(bad);
  EXPECT_EQ(Result<int>(bad).value_or(7), 7);
}

TEST(AResult, ThrowsItsStatusWhenAskedForAMissingValue) {
  const Result<std::string> sut(Status(BP_NOT_FOUND, "gone"));
  try {
    static_cast<void>(sut.value());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.status().code(), BP_NOT_FOUND);
    EXPECT_STREQ(error.what(), "NOT_FOUND: gone");
  }
}

TEST(AResult, MadeFromAStatusThatIsNoErrorIsABug) {
  EXPECT_EQ(Result<int>(Status::ok()).status().code(), BP_INTERNAL);
  EXPECT_EQ(Result<int>(Status::pending()).status().code(), BP_INTERNAL);
}

TEST(TheBoundary, PassesOutcomesThrough) {
  bp_error error{};
  EXPECT_EQ(boundary(&error, [] { return Status::pending(); }), BP_PENDING);
  EXPECT_EQ(boundary(&error, [] { return BP_OK; }), BP_OK);
  EXPECT_EQ(boundary(&error, [] {}), BP_OK);
  EXPECT_EQ(boundary(&error, [] { return Status(BP_ABORTED, "why"); }), BP_ABORTED);
  EXPECT_EQ(Status::from(BP_ABORTED, error).message(), "why");
}

TEST(TheBoundary, StopsEveryException) {
  bp_error error{};
  EXPECT_EQ(boundary(&error, [] { throw Error(BP_NOT_FOUND, "gone"); }), BP_NOT_FOUND);
  EXPECT_EQ(Status::from(BP_NOT_FOUND, error).message(), "gone");
  EXPECT_EQ(boundary(&error, [] { throw std::bad_alloc(); }), BP_RESOURCE_EXHAUSTED);
  EXPECT_EQ(boundary(&error, [] { throw std::runtime_error("oops"); }), BP_INTERNAL);
  EXPECT_NE(Status::from(BP_INTERNAL, error).message().find("oops"), std::string_view::npos);
  EXPECT_EQ(boundary(nullptr, [] { throw 5; }), BP_INTERNAL);
}

TEST(TheBoundary, TellsAHandlerWhereNothingCanBeReturned) {
  Status seen;
  boundary([] { throw Error(BP_ABORTED, "why"); }, [&](const Status& status) { seen = status; });
  EXPECT_EQ(seen.message(), "why");
}

}  // namespace
}  // namespace backplane
