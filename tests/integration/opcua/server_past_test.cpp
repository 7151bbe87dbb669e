// SPDX-License-Identifier: Apache-2.0
// What the plugin's server remembers and reports.
#include "server_fixture.hpp"

namespace backplane::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr auto kInside = "main:ns=1;s=Line1.Level";
constexpr auto kOutside = "plant:ns=1;s=Line1.Level";
constexpr auto kLongAgo = "1990-01-01T00:00:00Z";

constexpr std::string_view kNodes = R"(
nodes = [
  { id = "ns=1;s=Line1.Level", type = "Double", access = "read_write", history = 5 },
  { id = "ns=1;s=Line1.Profile", type = "Double", array = [4], access = "read_write", initial = [1.0, 2.0, 3.0, 4.0], history = 5 },
  { id = "ns=1;s=Line1.Forgotten", type = "Double", initial = 1.0 },
]
events = [{ id = "ns=1;i=5001", name = "Overheated", fields = [{ name = "Limit", type = "Double" }] }]
)";

class OpcuaServersPast : public testing::Test {
 protected:
  std::vector<double> history(const char* node, ValueView options) {
    const Watched watched(pair_.open(node), options);
    EXPECT_TRUE(watched.end().is_ok()) << watched.end().message();
    return watched.told.numbers();
  }
  OpcuaPair pair_{kNodes};
  StackArena<> arena_;
};

TEST_F(OpcuaServersPast, IsTheLastValuesWhoeverWroteThem) {
  for (int i = 1; i <= 4; ++i) {
    pair_.open(kInside).write(double(i)).or_throw();
  }
  for (int i = 5; i <= 7; ++i) {
    pair_.open(kOutside).write(double(i)).or_throw();
  }
  for (const char* const node : {kInside, kOutside}) {
    EXPECT_THAT(history(node, arena_.map({{"start", kLongAgo}})), ElementsAre(3, 4, 5, 6, 7));
    EXPECT_THAT(history(node, arena_.map({{"end", "2200-01-01T00:00:00Z"}, {"max", 2}})),
                ElementsAre(7, 6));
  }
}

TEST_F(OpcuaServersPast, HasTheWholeValueThoughAPartWasWritten) {
  const std::vector<double> part{9, 8};
  pair_.open("plant:ns=1;s=Line1.Profile")
      .write(ValueView::array(std::span<const double>(part)), {{BP_H_INDEX_RANGE, "1:2"}})
      .or_throw();
  for (const char* const node : {"main:ns=1;s=Line1.Profile", "plant:ns=1;s=Line1.Profile"}) {
    const auto seen = std::make_shared<Guarded<std::vector<std::vector<double>>>>();
    const auto ended = std::make_shared<Guarded<std::optional<Status>>>();
    const Pair options(BP_H_OPTIONS, arena_.map({{"start", kLongAgo}}));
    WatchOptions watching;
    watching.headers = {static_cast<const bp_pair*>(&options), 1};
    watching.on_end = [ended](const Status& status) { ended->lock()->emplace(status); };
    const Endpoint endpoint = pair_.open(node);
    const auto watch = endpoint.watch(
        [seen](MessageView message) {
          seen->lock()->push_back(message.body().get<std::vector<double>>().value());
        },
        std::move(watching));
    ASSERT_TRUE(eventually([&] { return ended->copy().has_value(); }, kPatience));
    EXPECT_THAT(seen->copy(), ElementsAre(ElementsAre(1, 2, 3, 4), ElementsAre(1, 9, 8, 4)));
  }
}

TEST_F(OpcuaServersPast, IsNotThatOfAVariableWhichKeepsNone) {
  for (const char* const node :
       {"main:ns=1;s=Line1.Forgotten", "plant:ns=1;s=Line1.Forgotten", "plant:i=2258"}) {
    const Watched watched(pair_.open(node), arena_.map({{"start", kLongAgo}}));
    EXPECT_THAT(std::string(watched.end().message()), HasSubstr("BadHistoryOperationUnsupported"))
        << node;
  }
}

TEST_F(OpcuaServersPast, IsEmptyAtFirst) {
  EXPECT_THAT(history(kOutside, arena_.map({{"start", kLongAgo}})), IsEmpty());
}

// ---- events ----

class OpcuaServersEvents : public testing::Test {
 protected:
  /// When the watch stands: an item that is made behind it has told its value.
  Subscription watch(const char* node, ValueView options = {}) {
    const Pair header(BP_H_OPTIONS, options);
    WatchOptions watching;
    if (!options.is_null()) {
      watching.headers = {static_cast<const bp_pair*>(&header), 1};
    }
    endpoints_.push_back(pair_.open(node));
    auto out = endpoints_.back().watch(
        [seen = seen_](MessageView message) { seen->lock()->emplace_back(message); },
        std::move(watching));
    const Watched behind(pair_.open("plant:ns=1;s=Line1.Forgotten"));
    EXPECT_TRUE(behind.told.reaches(1));
    return std::move(out).value();
  }
  bool reaches(size_t n) const {
    return eventually([&] { return seen_->lock()->size() >= n; }, kPatience);
  }
  OwnedMessage event(size_t i) const { return seen_->copy().at(i); }
  Status report(ValueView event, const char* node = "main:ns=1;s=Line1@EventNotifier") {
    return pair_.open(node).write(event).get();
  }

  OpcuaPair pair_{kNodes};
  StackArena<> arena_;
  std::vector<Endpoint> endpoints_;
  const std::shared_ptr<Guarded<std::vector<OwnedMessage>>> seen_ =
      std::make_shared<Guarded<std::vector<OwnedMessage>>>();
};

TEST_F(OpcuaServersEvents, AreReportedByWhoWritesThemInside) {
  const auto watching = watch("plant:ns=1;s=Line1@EventNotifier");
  report(arena_.map({{"Message", "it is too hot"}, {"Severity", 700}})).or_throw();
  ASSERT_TRUE(reaches(1));
  const ValueView body = event(0).body();
  EXPECT_EQ(body.find("Severity")->get<int>(), 700);
  EXPECT_THAT(body.find("Message")->to_text(200), HasSubstr("it is too hot"));
  EXPECT_THAT(body.find("SourceNode")->to_text(200), HasSubstr("ns=1;s=Line1"));
}

TEST_F(OpcuaServersEvents, ReachWhoWatchesTheServer) {
  const auto watching = watch("plant:i=2253@EventNotifier");
  report(arena_.map({{"Severity", 1}})).or_throw();
  EXPECT_TRUE(reaches(1));
}

TEST_F(OpcuaServersEvents, OfOwnTypesHaveTheirFields) {
  const auto watching =
      watch("plant:ns=1;s=Line1@EventNotifier",
            arena_.map({{"select", arena_.list({"EventType", "1:Limit", "Severity"})},
                        {"where", arena_.list({"of_type", "ns=1;i=5001"})}}));
  report(arena_.map({{"Message", "of another type"}})).or_throw();
  report(arena_.map({{"EventType", "Overheated"}, {"Limit", 80}})).or_throw();
  ASSERT_TRUE(reaches(1));
  const ValueView body = event(0).body();
  EXPECT_EQ(body.find("1:Limit")->get<double>(), 80);
  EXPECT_EQ(body.find("Severity")->get<int>(), 500) << "unless said";
  EXPECT_THAT(body.find("EventType")->to_text(200), HasSubstr("ns=1;i=5001"));
}

TEST_F(OpcuaServersEvents, ThatAreWrongAreRefusedByTheField) {
  const auto why = [&](ValueView event) { return std::string(report(event).message()); };
  EXPECT_THAT(why(ValueView(7)), HasSubstr("an event is a map"));
  EXPECT_THAT(why(arena_.map({{"Colour", "red"}})), HasSubstr("no field 'Colour'"));
  EXPECT_THAT(why(arena_.map({{"Limit", 80.0}})), HasSubstr("no field 'Limit'"));
  EXPECT_THAT(why(arena_.map({{"Severity", "high"}})), HasSubstr("field 'Severity'"));
  EXPECT_THAT(why(arena_.map({{"Severity", 1001}})), HasSubstr("expected 1 to 1000"));
  ValueView typed = arena_.list({"opcua:i=1", true});
  typed.tag = BP_T_TYPED;
  EXPECT_THAT(why(arena_.map({{"Severity", typed}})), HasSubstr("field 'Severity' is a UInt16"));
  EXPECT_THAT(why(arena_.map({{"EventType", "Frozen"}})), HasSubstr("EventType"));
  EXPECT_THAT(why(arena_.map({{"EventType", "i=58"}})), HasSubstr("i=58"));
  EXPECT_THAT(
      std::string(
          report(arena_.map({{"Severity", 1}}), "main:ns=1;s=Line1.Level@EventNotifier").message()),
      HasSubstr("reports no events"));
}

}  // namespace
}  // namespace backplane::test
