// SPDX-License-Identifier: Apache-2.0
#include "watches.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace backplane::opcua {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

MonitorOptions parsed(std::string_view key, const ValueView& value) {
  StackArena arena;
  MessageBuilder message;
  message.header(BP_H_OPTIONS, arena.map({{key, value}}));
  return MonitorOptions(message.view(), parse_address("i=1").value(), 100ms);
}
std::string why_not(std::string_view key, const ValueView& value) {
  try {
    static_cast<void>(parsed(key, value));
    return "it is one";
  } catch (const Error& error) {
    return std::string(error.status().message());
  }
}

TEST(MonitorOptions, AreTheUsualOnesWithoutAHeader) {
  MessageBuilder message;
  const MonitorOptions options(message.view(), parse_address("i=1").value(), 100ms);
  EXPECT_EQ(options.publishing, 100ms);
  EXPECT_EQ(options.sampling_ms, 0);
  EXPECT_EQ(options.queue, 16u);
  EXPECT_TRUE(options.discard_oldest);
  EXPECT_FALSE(options.has_filter);
}

TEST(MonitorOptions, TakeTimesInNanoseconds) {
  EXPECT_EQ(parsed("sampling_ns", int64_t{2'500'000}).sampling_ms, 2.5);
  EXPECT_EQ(parsed("sampling_ns", int64_t{-1'000'000}).sampling_ms, -1) << "as it publishes";
  EXPECT_EQ(parsed("publishing_ns", int64_t{250'000'000}).publishing, 250ms);
}

TEST(MonitorOptions, TakeNoPublishingIntervalThatCannotBeToldFromSilence) {
  EXPECT_EQ(parsed("publishing_ns", int64_t{60'000'000'000}).publishing, 60s);
  EXPECT_THAT(why_not("publishing_ns", int64_t{60'000'000'001}),
              HasSubstr("option 'publishing_ns': expected 0 to 60000000000 nanoseconds"));
  EXPECT_THAT(why_not("publishing_ns", -1), HasSubstr("expected 0 to"));
}

TEST(MonitorOptions, TakeADeadbandAsANumberOrAsAPart) {
  const MonitorOptions absolute = parsed("deadband", 0.5);
  EXPECT_TRUE(absolute.has_filter);
  EXPECT_EQ(absolute.filter.deadbandType, UA_UInt32{UA_DEADBANDTYPE_ABSOLUTE});
  EXPECT_EQ(absolute.filter.deadbandValue, 0.5);
  EXPECT_EQ(absolute.filter.trigger, UA_DATACHANGETRIGGER_STATUSVALUE);
  const MonitorOptions part = parsed("deadband", "0.5%");
  EXPECT_EQ(part.filter.deadbandType, UA_UInt32{UA_DEADBANDTYPE_PERCENT});
  EXPECT_EQ(part.filter.deadbandValue, 0.5);
  EXPECT_EQ(parsed("deadband", "100%").filter.deadbandValue, 100);
}

TEST(MonitorOptions, TakeNoDeadbandThatIsNone) {
  for (const char* text : {"0.5", "%", "5 %", "nan%", "inf%", "-1%", "100.5%", "5%%", "0,5%"}) {
    EXPECT_THAT(why_not("deadband", text), HasSubstr("option 'deadband': expected a number"))
        << text;
  }
  EXPECT_THAT(why_not("deadband", -0.5), HasSubstr("that is not negative"));
  EXPECT_THAT(why_not("deadband", std::numeric_limits<double>::quiet_NaN()),
              HasSubstr("that is not negative"));
}

TEST(MonitorOptions, SayWhatATriggerMayBe) {
  EXPECT_EQ(parsed("trigger", "timestamp").filter.trigger,
            UA_DATACHANGETRIGGER_STATUSVALUETIMESTAMP);
  EXPECT_THAT(why_not("trigger", "change"), HasSubstr("expected status, value or timestamp"));
}

TEST(MonitorOptions, RefuseWhatTheyDoNotKnow) {
  EXPECT_THAT(why_not("interval", 5), HasSubstr("there is no option 'interval'"));
  EXPECT_THAT(why_not("queue", "long"), HasSubstr("option 'queue': expected a number of values"));
}

}  // namespace
}  // namespace backplane::opcua
