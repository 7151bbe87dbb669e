// SPDX-License-Identifier: Apache-2.0
// Reading and writing values of a real server.
#include "fixture.hpp"

namespace backplane::test {
namespace {

using testing::HasSubstr;

constexpr uint32_t kUncertain = 0x40000000;

TEST_F(Opcua, AValueIsReadWithBothTimestamps) {
  const auto answer = system_.open(kTemperature).read().get();
  ASSERT_TRUE(answer) << answer.status().to_string();
  EXPECT_EQ(answer->body().get<double>(), 20.5);
  EXPECT_TRUE(answer->view().time());
  EXPECT_TRUE(answer->view().header(BP_H_SERVER_TIME));
  EXPECT_FALSE(answer->view().header(BP_H_STATUS)) << "good is not said";
}

TEST_F(Opcua, AWrittenValueKeepsStatusAndSourceTime) {
  const Endpoint node = system_.open(kTemperature);
  MessageBuilder message(21.5);
  message.time(Time(std::chrono::nanoseconds(1709164799123456700)));
  message.header(BP_H_STATUS, kUncertain);
  ASSERT_TRUE(node.write(MessageView(message)).get().is_ok());
  const auto answer = node.read().get();
  ASSERT_TRUE(answer) << answer.status().to_string();
  EXPECT_EQ(answer->body().get<double>(), 21.5);
  EXPECT_EQ(answer->view().raw().time_ns, 1709164799123456700);
  EXPECT_EQ(answer->view().header<uint32_t>(BP_H_STATUS), kUncertain);
}

TEST_F(Opcua, APartOfAnArrayIsReadAndWritten) {
  const Endpoint node = system_.open("ns=1;s=Line1.Profile");
  using Numbers = std::vector<double>;
  EXPECT_EQ(node.read<Numbers>({{BP_H_INDEX_RANGE, "1:2"}}).value(), Numbers({2, 3}));
  const Numbers other{42, 43};
  node.write(ValueView::array(std::span<const double>(other)), {{BP_H_INDEX_RANGE, "2:3"}})
      .or_throw();
  EXPECT_EQ(node.read<Numbers>().value(), Numbers({1, 2, 42, 43}));
}

TEST_F(Opcua, AnAttributeIsReadByItsName) {
  const auto name = system_.open(concat(kTemperature, "@DisplayName")).read().value();
  EXPECT_EQ(name.body().at(0).get<std::string>(), "opcua:i=21");
  EXPECT_EQ(name.body().at(1).at(1).get<std::string>(), "Temperature");
  const auto type = system_.open(concat(kTemperature, "@DataType")).read().value();
  EXPECT_EQ(type.body().at(1).get<std::string>(), "i=11");
}

TEST_F(Opcua, ANodeIsFoundByItsBrowsePathAndByItsNamespacesUri) {
  EXPECT_EQ(system_.open("/1:Line1/1:Temperature").read<double>().value(), 20.5);
  EXPECT_EQ(
      system_.open("nsu=urn:backplane:test:server;s=Line1.Temperature").read<double>().value(),
      20.5);
  EXPECT_EQ(system_
                .open("/nsu=urn:backplane:test:server;Line1/nsu=urn:backplane:test:server;"
                      "Temperature")
                .read<double>()
                .value(),
            20.5);
  EXPECT_EQ(system_.open("/nsu=urn:nobody;Line1").read().get().status().code(), BP_NOT_FOUND);
}

TEST_F(Opcua, AHundredReadsAtOnceAreAllAnswered) {
  const Endpoint node = system_.open(kTemperature);
  std::atomic<int> good{0};
  for (int i = 0; i < 100; ++i) {
    node.read<double>().then([&](const Result<double>& value) { good += value ? 1 : 0; });
  }
  EXPECT_TRUE(eventually([&] { return good == 100; }, kPatience)) << good;
}

TEST_F(Opcua, EveryKindOfValueSurvivesTheServer) {
  const Endpoint any = system_.open("ns=1;s=Line1.Any");
  StackArena arena;
  const std::vector<uint32_t> dimensions{2, 2};
  const std::vector<int16_t> numbers{1, -2, 3, -4};
  bp_value matrix{};
  matrix.tag = BP_T_MATRIX;
  matrix.len = 2;
  matrix.as.list = arena
                       .list({ValueView::array(std::span<const uint32_t>(dimensions)),
                              ValueView::array(std::span<const int16_t>(numbers))})
                       .as.list;
  bp_value node_id{};
  node_id.tag = BP_T_TYPED;
  node_id.len = 2;
  node_id.as.list = arena.list({"opcua:i=17", "ns=1;s=Line1"}).as.list;
  const ValueView values[] = {true,
                              int8_t{-1},
                              uint64_t{1} << 63,
                              1.5f,
                              "text",
                              Time(std::chrono::nanoseconds(1709164799123456700)),
                              ValueView::bytes("\0\1\2", 3),
                              ValueView::array(std::span<const int16_t>(numbers)),
                              matrix,
                              node_id,
                              arena.list({"a", "b"}, BP_TYPE(BP_T_STRING, 0))};
  for (const ValueView& value : values) {
    const Status written = any.write(value).get();
    ASSERT_TRUE(written.is_ok()) << written.to_string() << " " << value.to_text();
    const auto read = any.read().value();
    if (value.tag == BP_T_TIME) {  // in the unit of OPC UA
      EXPECT_EQ(read.body().as.i, value.as.i / 100);
    } else {
      EXPECT_EQ(read.body(), value) << read.body().to_text() << " " << value.to_text();
    }
  }
}

TEST_F(Opcua, AValueThatTheNodeDoesNotTakeIsRefusedWithTheNodesType) {
  const Status refused = system_.open(kTemperature).write("warm").get();
  EXPECT_EQ(refused.code(), BP_INVALID_ARGUMENT);
  EXPECT_THAT(
      std::string(refused.message()),
      HasSubstr(
          "writing 'ns=1;s=Line1.Temperature', which is Double: BadTypeMismatch: \"warm\" is no"));
}

TEST_F(Opcua, ANumberBecomesTheTypeThatIsNamed) {
  const Endpoint any = system_.open("ns=1;s=Line1.Any");
  ASSERT_TRUE(any.write(22, {{BP_H_NATIVE_TYPE, "Float"}}).get().is_ok());
  EXPECT_EQ(any.read().value().body(), ValueView(22.0f));
}

TEST_F(Opcua, WhatTheServerRefusesHasItsNameAndAdvice) {
  const auto refused = [&](const char* path) { return system_.open(path).write(1).get(); };
  const auto unread = [&](const char* path) { return system_.open(path).read().get().status(); };

  const Status unknown = unread("ns=1;s=Line1.Pressure");
  EXPECT_EQ(unknown.code(), BP_NOT_FOUND);
  EXPECT_EQ(static_cast<uint32_t>(unknown.native()), 0x80340000u);
  EXPECT_EQ(unknown.domain(), "opcua");
  EXPECT_THAT(
      std::string(unknown.message()),
      HasSubstr("reading 'ns=1;s=Line1.Pressure': BadNodeIdUnknown: the server has no such"));

  EXPECT_EQ(unread("/1:Line1/1:Pressure").code(), BP_NOT_FOUND);
  EXPECT_EQ(unread("nsu=urn:nobody;s=Line1").code(), BP_NOT_FOUND);
  EXPECT_EQ(unread("ns=1;s=Line1").code(), BP_NOT_FOUND) << "an object has no value";
  EXPECT_EQ(unread("ns=1;s=Line1.Secret").code(), BP_PERMISSION_DENIED);
  EXPECT_EQ(refused("ns=1;s=Line1.Fixed").code(), BP_PERMISSION_DENIED);
  const auto beyond =
      system_.open("ns=1;s=Line1.Profile").read({{BP_H_INDEX_RANGE, "7:9"}}).get().status();
  EXPECT_EQ(beyond.code(), BP_OUT_OF_RANGE);
}

TEST_F(Opcua, AValueOfBadQualityIsAFailedRead) {
  const auto broken = system_.open("ns=1;s=Line1.Broken").read().get().status();
  EXPECT_THAT(std::string(broken.message()), HasSubstr("BadSensorFailure"));
  EXPECT_EQ(static_cast<uint32_t>(broken.native()), 0x808C0000u);
  EXPECT_EQ(broken.code(), BP_UNAVAILABLE);
}

}  // namespace
}  // namespace backplane::test
