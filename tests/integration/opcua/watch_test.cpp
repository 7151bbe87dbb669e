// SPDX-License-Identifier: Apache-2.0
// Monitored items of a real server.
#include "fixture.hpp"

namespace backplane::test {
namespace {

using testing::HasSubstr;

class OpcuaWatch : public Opcua {
 protected:
  Result<Subscription> watch(const Endpoint& node, const Told& told, ValueView options = {}) {
    const Pair header(BP_H_OPTIONS, options);
    WatchOptions watching;
    if (!options.is_null()) {
      watching.headers = {static_cast<const bp_pair*>(&header), 1};
    }
    watching.on_end = [this](const Status& status) { ended_.lock()->emplace(status); };
    return node.watch(told, std::move(watching));
  }
  Status end() {
    EXPECT_TRUE(eventually([&] { return ended_.copy().has_value(); }, kPatience));
    return ended_.copy().value_or(Status());
  }
  Guarded<std::optional<Status>> ended_;
};

TEST_F(OpcuaWatch, TheFirstValueIsThePresentOneAndChangesFollow) {
  const Endpoint node = system_.open(kTemperature);
  const Told told;
  const auto watching = watch(node, told);
  ASSERT_TRUE(watching) << watching.status().to_string();
  ASSERT_TRUE(told.has(20.5));
  for (const double value : {21.5, 22.5, 23.5}) {
    node.write(value).or_throw();
  }
  ASSERT_TRUE(told.has(23.5));
  const auto all = told.all();
  ASSERT_EQ(all.size(), 4u) << "no change is lost";
  EXPECT_TRUE(all[0].is_initial);
  EXPECT_FALSE(all[1].is_initial);
  EXPECT_TRUE(all[1].has_times);
}

TEST_F(OpcuaWatch, ADeadbandLeavesOutWhatChangesLess) {
  StackArena arena;
  const Endpoint node = system_.open(kTemperature);
  const Told told;
  const auto watching = watch(node, told, arena.map({{"deadband", 5.0}}));
  ASSERT_TRUE(told.has(20.5));
  for (const double value : {21.0, 40.0, 41.0, 60.0}) {
    node.write(value).or_throw();
  }
  ASSERT_TRUE(told.has(60.0));
  std::vector<double> numbers;
  for (const auto& each : told.all()) numbers.push_back(each.number.value());
  EXPECT_THAT(numbers, testing::ElementsAre(20.5, 40.0, 60.0));
}

TEST_F(OpcuaWatch, ATriggerSaysWhatIsAChange) {
  StackArena arena;
  const Endpoint node = system_.open(kTemperature);
  const Told told;
  const auto watching = watch(node, told, arena.map({{"trigger", "status"}}));
  ASSERT_TRUE(told.has(20.5));
  node.write(21.5).or_throw();
  MessageBuilder uncertain(22.5);
  uncertain.header(BP_H_STATUS, uint32_t{0x40000000});
  node.write(MessageView(uncertain)).or_throw();
  ASSERT_TRUE(told.has(22.5));
  EXPECT_EQ(told.all().size(), 2u) << "a change of the value alone is none";
}

TEST_F(OpcuaWatch, AValueOfBadQualityIsAMessageWithItsStatus) {
  const Endpoint node = system_.open("ns=1;s=Line1.Broken");
  const Told told;
  const auto watching = watch(node, told);
  ASSERT_TRUE(eventually([&] { return !told.all().empty(); }, kPatience));
  EXPECT_EQ(told.all()[0].status, 0x808C0000u);
}

TEST_F(OpcuaWatch, AnUnknownNodeEndsTheWatchWithItsReason) {
  const Endpoint node = system_.open("ns=1;s=Line1.Pressure");
  const Told told;
  const auto watching = watch(node, told);
  EXPECT_EQ(end().code(), BP_NOT_FOUND);
  EXPECT_THAT(std::string(end().message()), HasSubstr("BadNodeIdUnknown"));
}

TEST_F(OpcuaWatch, AnOptionThatThereIsNotIsRefusedWithThoseThatThereAre) {
  StackArena arena;
  const Endpoint node = system_.open(kTemperature);
  const Told told;
  const auto watching = watch(node, told, arena.map({{"interval", 5}}));
  ASSERT_FALSE(watching && !ended_.copy());
  const Status status = watching ? end() : watching.status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("there are sampling_ns"));
}

TEST_F(OpcuaWatch, ACancelledOneEndsAndOthersGoOn) {
  const Endpoint node = system_.open(kTemperature);
  const Told told;
  const Told other;
  auto first = watch(node, told);
  const auto second = watch(node, other);
  ASSERT_TRUE(told.has(20.5) && other.has(20.5));
  first = Status(BP_CANCELLED);  // ends it
  node.write(21.5).or_throw();
  EXPECT_TRUE(other.has(21.5));
  EXPECT_EQ(told.all().size(), 1u);
}

}  // namespace
}  // namespace backplane::test
