// SPDX-License-Identifier: Apache-2.0
// The types of a real server: numbers become what a node has, structures are known by name.
#include "fixture.hpp"
#include "support/tcp_relay.hpp"

namespace backplane::test {
namespace {

using testing::HasSubstr;

class OpcuaTypes : public Opcua {
 protected:
  Endpoint types(const std::string& name) { return system_.open("ns=1;s=Types." + name); }
  ValueView typed(std::string_view id, ValueView value) {
    ValueView out = arena_.list({arena_.copy(id), value});
    out.tag = BP_T_TYPED;
    return out;
  }
  ValueView point(double x, double y) { return arena_.map({{"X", x}, {"Y", y}}); }
  void expect_written(const Endpoint& node, const ValueView& value, const ValueView& read) {
    const Status written = node.write(value).get();
    ASSERT_TRUE(written.is_ok()) << written.to_string();
    const auto answer = node.read().value();
    EXPECT_EQ(answer.body(), read) << answer.body().to_text() << " " << read.to_text();
  }
  StackArena<> arena_;
};

TEST_F(OpcuaTypes, ANumberFromJsonBecomesTheTypeOfTheNode) {
  expect_written(system_.open(kTemperature), int64_t{42}, 42.0);
  expect_written(types("Level"), int64_t{42}, int16_t{42});
  expect_written(types("Ratio"), 0.1, 0.1f);
  expect_written(types("Volume"), int64_t{3}, 3.0);  // of a type that derives from Double
  expect_written(types("Mode"), int64_t{2}, int32_t{2});
  const std::vector<double> profile{1, 2, 3, 4};
  expect_written(system_.open("ns=1;s=Line1.Profile"), arena_.list({1, 2, 3, 4}),
                 ValueView::array(std::span<const double>(profile)));
}

TEST_F(OpcuaTypes, ANumberThatTheNodeCannotHoldIsRefused) {
  const Status refused = types("Level").write(1.5).get();
  EXPECT_EQ(refused.code(), BP_INVALID_ARGUMENT);
  EXPECT_EQ(refused.message(),
            "writing 'ns=1;s=Types.Level', which is Int16: BadTypeMismatch: 1.5 is no Int16");
  EXPECT_EQ(types("Level").write(70000).get().code(), BP_INVALID_ARGUMENT);
}

TEST_F(OpcuaTypes, ATimeMayBeText) {
  const Endpoint since = types("Since");
  since.write("2024-02-29T12:00:00Z").or_throw();
  EXPECT_EQ(since.read<Time>().value(), Time(std::chrono::seconds(1709208000)));
}

TEST_F(OpcuaTypes, ANodeOfAnyTypeKeepsTheTypeOfTheValue) {
  expect_written(system_.open("ns=1;s=Line1.Any"), int8_t{-1}, int8_t{-1});
}

TEST_F(OpcuaTypes, ManyWritesAtOnceKeepTheirOrder) {
  const Endpoint level = types("Level");
  const Endpoint volume = types("Volume");
  std::atomic<int> good{0};
  for (int i = 0; i < 200; ++i) {
    for (const Endpoint* node : {&level, &volume}) {
      node->write(i).then([&](const Status& status) { good += status.is_ok() ? 1 : 0; });
    }
  }
  EXPECT_TRUE(eventually([&] { return good == 400; }, kPatience)) << good;
  EXPECT_EQ(level.read<int>().value(), 199);
  EXPECT_EQ(volume.read<int>().value(), 199);
}

TEST_F(OpcuaTypes, AStructureIsAMapOfItsFields) {
  EXPECT_EQ(types("Point").read().value().body(), typed("opcua:ns=1;i=3001", point(1, 2)));
  expect_written(types("Point"), typed("opcua:ns=1;i=3001", point(7, 8)),
                 typed("opcua:ns=1;i=3001", point(7, 8)));
}

TEST_F(OpcuaTypes, AMapWithoutATypeBecomesTheStructureOfTheNode) {
  expect_written(types("Point"), arena_.map({{"Y", 4}, {"X", 3}}),
                 typed("opcua:ns=1;i=3001", point(3, 4)));
  const Status refused = types("Point").write(arena_.map({{"X", 3}})).get();
  EXPECT_THAT(std::string(refused.message()), HasSubstr("ns=1;i=3001 needs a field 'Y'"));
}

TEST_F(OpcuaTypes, AnArrayOfStructuresHasTheTypesNameOnce) {
  const Endpoint points = types("Points");
  const auto all = points.read().value();
  EXPECT_EQ(all.body(), typed("opcua:ns=1;i=3001",
                              arena_.list({point(1, 2), point(3, 4), point(5, 6), point(7, 8)})));
  EXPECT_EQ(points.read({{BP_H_INDEX_RANGE, "1:2"}}).value().body(),
            typed("opcua:ns=1;i=3001", arena_.list({point(3, 4), point(5, 6)})));
  const std::vector<uint32_t> sizes{1, 2};
  ValueView matrix = arena_.list({ValueView::array(std::span<const uint32_t>(sizes)),
                                  arena_.list({point(1, 1), point(2, 2)})});
  matrix.tag = BP_T_MATRIX;
  expect_written(points, typed("opcua:ns=1;i=3001", matrix), typed("opcua:ns=1;i=3001", matrix));
}

TEST_F(OpcuaTypes, OptionalFieldsUnionsAndStructuresInStructuresAreRead) {
  const Endpoint order = types("Order");
  ValueView mode(int32_t{1});
  const auto body = [&](bool has_priority) {
    MapBuilder out(arena_);
    out.add("Name", "first");
    if (has_priority) out.add("Priority", int32_t{9});
    out.add("Path", arena_.list({point(1, 2), point(3, 4)})).add("Mode", mode);
    return typed("opcua:ns=1;i=3002", arena_.map(out.pairs()));
  };
  EXPECT_EQ(order.read().value().body(), body(true));
  expect_written(order, body(false), body(false));

  const Endpoint reading = types("Reading");
  EXPECT_EQ(reading.read().value().body(),
            typed("opcua:ns=1;i=3003", arena_.map({{"Number", 2.5}})));
  const ValueView text = arena_.map({{"Text", "none"}});
  expect_written(reading, text, typed("opcua:ns=1;i=3003", text));
}

TEST_F(OpcuaTypes, AChangeOfAStructureIsToldInItsOrder) {
  const Endpoint node = types("Point");
  Guarded<std::vector<std::string>> seen;
  const auto watching =
      node.watch([&](MessageView message) { seen.lock()->push_back(message.body().to_text()); });
  ASSERT_TRUE(eventually([&] { return !seen.copy().empty(); }, kPatience));
  for (int i = 0; i < 3; ++i) {
    node.write(point(i, i)).or_throw();
  }
  ASSERT_TRUE(eventually([&] { return seen.copy().size() == 4; }, kPatience));
  EXPECT_THAT(seen.copy().back(), HasSubstr("\"X\":2"));
}

TEST_F(OpcuaTypes, ADefinitionIsAValueItself) {
  const auto point = system_.open("ns=1;i=3001@DataTypeDefinition").read().value();
  EXPECT_EQ(point.body().at(0).get<std::string>(), "opcua:i=99");
  const ValueView fields = *point.body().at(1).find("Fields");
  ASSERT_EQ(fields.size(), 2u) << point.body().to_text(2000);
  EXPECT_EQ(fields.at(0).find("Name")->get<std::string>(), "X");
}

TEST_F(OpcuaTypes, AValueComesAndGoesInTheStandardsJson) {
  const Pair content(BP_H_CONTENT_TYPE, "application/opcua+uajson");
  const Endpoint temperature = system_.open(kTemperature);
  const auto read = temperature.read({content}).value();
  EXPECT_EQ(*read.body().find("Value"), arena_.map({{"Type", 11u}, {"Body", 20.5}}));
  EXPECT_TRUE(read.body().find("SourceTimestamp") && read.body().find("ServerTimestamp"));
  const ValueView written = arena_.map({{"Value", arena_.map({{"Type", 11}, {"Body", 21}})},
                                        {"Status", 0x40000000u},
                                        {"SourceTimestamp", "2024-02-29T12:00:00.5Z"}});
  temperature.write(written, {content}).or_throw();
  const auto again = temperature.read({content}).value();
  EXPECT_EQ(again.body().find("Value")->find("Body")->get<double>(), 21.0);
  EXPECT_EQ(again.body().find("Status")->get<uint32_t>(), 0x40000000u);
  EXPECT_EQ(again.body().find("SourceTimestamp")->get<std::string>(), "2024-02-29T12:00:00.5Z");

  for (const char* name : {"Point", "Points", "Order", "Reading"}) {
    const Endpoint node = types(name);
    const auto before = node.read().value();
    const auto json = node.read({content}).value();
    EXPECT_EQ(json.body().find("Value")->find("Type")->get<int>(), 22) << json.body().to_text();
    const Status back = system_.open(concat("ns=1;s=Types.", name))
                            .write(arena_.map({{"Value", *json.body().find("Value")}}), {content})
                            .get();
    EXPECT_TRUE(back.is_ok()) << name << back.to_string();
    EXPECT_EQ(node.read().value().body(), before.body()) << name;
  }
}

TEST_F(OpcuaTypes, AWatchTellsTheStandardsJson) {
  const Pair content(BP_H_CONTENT_TYPE, "application/opcua+uajson");
  Guarded<std::string> seen;
  WatchOptions options;
  options.headers = {static_cast<const bp_pair*>(&content), 1};
  const Endpoint node = types("Point");
  const auto watching =
      node.watch([&](MessageView message) { seen.lock()->assign(message.body().to_text()); },
                 std::move(options));
  ASSERT_TRUE(eventually([&] { return !seen.copy().empty(); }, kPatience));
  EXPECT_THAT(seen.copy(), HasSubstr("\"Body\":{\"X\":1,\"Y\":2}"));
}

TEST(OpcuaRoute, AStructureWithItsTimeGoesOnInTheStandardsJson) {
  OpcuaServer server;
  OpcuaSystem system(server.port(),
                     "[[routes]]\nname = \"copy\"\nfrom = { address = "
                     "\"plant:ns=1;s=Types.Point\", accept = \"application/opcua+uajson\" }\nto = "
                     "\"plant:ns=1;s=Types.Copy\"\n");
  const Endpoint point = system.connected().open("ns=1;s=Types.Point");
  const Endpoint copy = system.open("ns=1;s=Types.Copy");
  StackArena arena;
  MessageBuilder message(arena.map({{"X", 7}, {"Y", 8}}));
  message.time(Time(std::chrono::nanoseconds(1709164799123456700)));
  point.write(MessageView(message)).or_throw();
  EXPECT_TRUE(eventually(
      [&] {
        const auto read = copy.read().value();
        return read.body() == point.read().value().body() &&
               read.view().raw().time_ns == 1709164799123456700;
      },
      kPatience));
}

TEST_F(OpcuaTypes, ATypeThatHasBecomeAnotherIsAskedForAgain) {
  const Endpoint node = types("Changing");
  const Endpoint type = types("Changing@DataType");
  const auto is = [&](const char* id, const char* native) {
    type.write(typed("opcua:i=17", "i=24")).or_throw();
    node.write(1, {{BP_H_NATIVE_TYPE, native}}).or_throw();
    type.write(typed("opcua:i=17", arena_.copy(id))).or_throw();
  };
  is("i=8", "Int64");
  expect_written(node, 42.0, int64_t{42});
  is("i=4", "Int16");
  expect_written(node, 43.0, int16_t{43});
  const Status refused = node.write("warm").get();
  EXPECT_THAT(std::string(refused.message()), HasSubstr("is no Int16"));
}

TEST_F(OpcuaTypes, AStructureIsAnArgumentAndAResult) {
  const auto mirrored = types("Mirror").call(point(1, 2)).get();
  ASSERT_TRUE(mirrored) << mirrored.status().to_string();
  EXPECT_EQ(mirrored->body(), typed("opcua:ns=1;i=3001", point(2, 1)));
}

TEST_F(OpcuaTypes, ArgumentsBecomeTheTypesOfTheMethod) {
  const Endpoint mix = system_.open("ns=1;s=Line1.Mix");
  for (const ValueView& inputs : {arena_.list({int64_t{2}, int64_t{4}}, BP_LIST_ARGUMENTS),
                                  arena_.map({{"b", 4.0}, {"a", 2}})}) {
    const auto answer = mix.call(inputs).get();
    ASSERT_TRUE(answer) << answer.status().to_string();
    EXPECT_EQ(answer->body().at(0).get<double>(), 8.0);
  }
  const Status refused = mix.call(arena_.list({2, 1.5}, BP_LIST_ARGUMENTS)).get().status();
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("argument 2 'b', which is Int32: 1.5 is no Int32"));
  EXPECT_THAT(std::string(mix.call(arena_.map({{"a", 1}, {"c", 2}})).get().status().message()),
              HasSubstr("argument 'b' is absent"));
}

TEST_F(OpcuaTypes, TheArgumentsOfAMethodAreTold) {
  const auto inputs = system_.open("/1:Line1/1:Mix/InputArguments").read().value();
  EXPECT_EQ(inputs.body().at(0).get<std::string>(), "opcua:i=296");
  const ValueView second = inputs.body().at(1).at(1);
  EXPECT_EQ(second.find("Name")->get<std::string>(), "b");
  EXPECT_EQ(second.find("DataType")->at(1).get<std::string>(), "i=6");
}

TEST(OpcuaTypesFaults, ATypeThatIsNotToldInTimeIsAskedForAgain) {
  const OpcuaServer server;
  TcpRelay relay(server.port());
  OpcuaSystem system(relay.port(), "request_timeout_s = 0.5");
  const Endpoint any = system.connected().open("ns=1;s=Line1.Any");
  any.write(1).or_throw();  // what the node takes is known
  StackArena<> arena;
  ValueView point = arena.list({"opcua:ns=1;i=3001", arena.map({{"X", 1.0}, {"Y", 2.0}})});
  point.tag = BP_T_TYPED;
  relay.become({.holds = kAnswers});
  EXPECT_EQ(any.write(point).get().code(), BP_DEADLINE_EXCEEDED);
  relay.open();
  const Status again = any.write(point).get();
  EXPECT_TRUE(again.is_ok()) << again.to_string();
  EXPECT_EQ(any.read().value().body(), point);
  EXPECT_EQ(system.losses(), 0);
}

}  // namespace
}  // namespace backplane::test
