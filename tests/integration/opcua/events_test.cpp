// SPDX-License-Identifier: Apache-2.0
// Events of a real server: which of them, and which of their fields.
#include "fixture.hpp"

namespace backplane::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr auto kEvents = "ns=1;s=Past@EventNotifier";
constexpr auto kAlarm = "ns=1;s=Past.Alarm";

/// A watch of events, and what it was told as JSON-like text.
class Events {
 public:
  Events(const Endpoint& node, ValueView options = {}) {
    const Pair header(BP_H_OPTIONS, options);
    WatchOptions watching;
    if (!options.is_null()) {
      watching.headers = {static_cast<const bp_pair*>(&header), 1};
    }
    watching.on_end = [ended = ended_](const Status& status) { ended->lock()->emplace(status); };
    auto begun =
        node.watch([seen = seen_](MessageView message) { seen->lock()->emplace_back(message); },
                   std::move(watching));
    if (begun) {
      subscription_.emplace(*std::move(begun));
    } else {
      ended_->lock()->emplace(begun.status());
    }
  }
  std::vector<uint16_t> severities() const {
    std::vector<uint16_t> out;
    const auto seen = seen_->lock();
    for (const OwnedMessage& each : *seen) {
      const auto severity = each.body().find("Severity");
      out.push_back(severity ? severity->get<uint16_t>().value_or(0) : uint16_t{0});
    }
    return out;
  }
  bool reaches(size_t n) const {
    return eventually([&] { return seen_->lock()->size() >= n; }, kPatience);
  }
  OwnedMessage first() const { return seen_->lock()->front(); }
  bool has_ended() const { return ended_->copy().has_value(); }
  Status end() const {
    EXPECT_TRUE(eventually([&] { return ended_->lock()->has_value(); }, kPatience));
    return ended_->copy().value_or(Status());
  }

 private:
  const std::shared_ptr<Guarded<std::vector<OwnedMessage>>> seen_ =
      std::make_shared<Guarded<std::vector<OwnedMessage>>>();
  const std::shared_ptr<Guarded<std::optional<Status>>> ended_ =
      std::make_shared<Guarded<std::optional<Status>>>();
  std::optional<Subscription> subscription_;
};

class OpcuaEvents : public Opcua {
 protected:
  /// The server has the item when something that was asked for behind it is answered.
  void raise(std::initializer_list<int> severities) const {
    const Watched behind(alarm_);
    ASSERT_TRUE(behind.told.reaches(1));
    for (const int each : severities) {
      alarm_.write(each).or_throw();
    }
  }
  StackArena<> arena_;
  const Endpoint node_ = system_.open(kEvents);
  const Endpoint alarm_ = system_.open(kAlarm);
};

TEST_F(OpcuaEvents, HaveWhatEveryEventHas) {
  const Events events(node_);
  raise({700});
  ASSERT_TRUE(events.reaches(1));
  const OwnedMessage event = events.first();
  EXPECT_FALSE(event.view().is_initial());
  EXPECT_TRUE(event.view().time().has_value());
  EXPECT_EQ(event.body().find("Severity")->get<int>(), 700);
  EXPECT_EQ(event.body().find("SourceName")->get<std::string>(), "Past");
  EXPECT_THAT(event.body().find("Message")->to_text(200), HasSubstr("it is 700"));
  EXPECT_THAT(event.body().find("EventType")->to_text(200), HasSubstr("i=2041"));
  EXPECT_TRUE(event.body().find("EventId")->payload().has_value());
}

TEST_F(OpcuaEvents, HaveTheFieldsThatAreWanted) {
  const Events events(node_, arena_.map({{"select", arena_.list({"Severity", "LocalTime"})}}));
  raise({1});
  ASSERT_TRUE(events.reaches(1));
  const OwnedMessage event = events.first();
  EXPECT_EQ(event.body().size(), 2u);
  EXPECT_EQ(event.body().find("Severity")->get<int>(), 1);
  EXPECT_TRUE(event.body().find("LocalTime")->is_null()) << "this event has none";
}

TEST_F(OpcuaEvents, AreOnlyThoseThatAreWanted) {
  const Events loud(node_, arena_.map({{"where", arena_.list({">=", "Severity", 500})}}));
  const ValueView low = arena_.list({"<", "Severity", 100});
  const ValueView high = arena_.list({">", "Severity", 900});
  const ValueView base = arena_.list({"of_type", "i=2041"});
  const Events extreme(
      node_, arena_.map({{"where", arena_.list({"and", base, arena_.list({"or", low, high})})}}));
  const Events conditions(node_, arena_.map({{"where", arena_.list({"of_type", "i=2782"})}}));
  const Events all(node_);
  raise({50, 499, 500, 950});
  ASSERT_TRUE(all.reaches(4));
  ASSERT_TRUE(loud.reaches(2));
  ASSERT_TRUE(extreme.reaches(2));
  EXPECT_THAT(all.severities(), ElementsAre(50, 499, 500, 950));
  EXPECT_THAT(loud.severities(), ElementsAre(500, 950));
  EXPECT_THAT(extreme.severities(), ElementsAre(50, 950));
  EXPECT_THAT(conditions.severities(), IsEmpty());
  EXPECT_FALSE(conditions.has_ended());
}

TEST_F(OpcuaEvents, AFieldThatNoEventHasIsNamed) {
  const Events events(node_, arena_.map({{"select", arena_.list({"Severity", "Nothing"})}}));
  EXPECT_THAT(std::string(events.end().message()), HasSubstr("field 'Nothing'"));
}

TEST_F(OpcuaEvents, ComeAgainAfterALostSession) {
  const Events events(node_);
  raise({1});
  ASSERT_TRUE(events.reaches(1));
  server_.kill();
  ASSERT_TRUE(system_.becomes(BP_STATE_CONNECTING));
  server_.start();
  system_.connected();
  raise({2});
  ASSERT_TRUE(events.reaches(2));
  EXPECT_THAT(events.severities(), ElementsAre(1, 2));
}

TEST_F(OpcuaEvents, OfANodeThatHasNoneAreRefused) {
  const Events events(system_.open("ns=1;s=Line1@EventNotifier"));
  EXPECT_TRUE(events.end().is_error());
}

TEST_F(OpcuaEvents, OptionsThatMakeNoSenseAreRefusedByName) {
  const auto refusal = [&](ValueView options) {
    return std::string(Events(node_, options).end().message());
  };
  EXPECT_THAT(refusal(arena_.map({{"select", "Severity"}})),
              HasSubstr("expected a list of fields"));
  EXPECT_THAT(refusal(arena_.map({{"where", arena_.list({"is", "Severity", 1})}})),
              HasSubstr("begins with one of"));
  EXPECT_THAT(refusal(arena_.map({{"where", arena_.list({"=", "Severity"})}})),
              HasSubstr("has 1 operands, expected 2"));
  EXPECT_THAT(refusal(arena_.map({{"where", arena_.list({"of_type", "Alarm"})}})),
              HasSubstr("node id of an event type"));
  EXPECT_THAT(refusal(arena_.map({{"deadband", 1.0}})), HasSubstr("'select', 'where'"));
  EXPECT_THAT(refusal(arena_.map({{"select", arena_.list({"nsu=urn:none;Limit"})}})),
              HasSubstr("no namespace"));
}

}  // namespace
}  // namespace backplane::test
