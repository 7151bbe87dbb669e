// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/resolver.hpp"

#include "support/eventually.hpp"
#include "support/fake_host.hpp"

#include <gtest/gtest.h>

namespace backplane {
namespace {

class AResolver : public ::testing::Test {
 protected:
  void ask(const std::string& name) {
    sut_.resolve(name, [this](const Resolver::Answer& answer) {
      answer_ = answer;
      was_busy_ = sut_.is_busy();
      thread_ = std::this_thread::get_id();
    });
  }
  void run_the_loop_until_it_is_answered() {
    static_cast<void>(test::eventually([this] {
      fake_.loop.run();
      return answer_.has_value();
    }));
  }

  test::FakeHost fake_;
  Host host_{fake_.raw()};
  std::optional<Resolver::Answer> answer_;
  bool was_busy_ = true;
  std::thread::id thread_;
  Resolver sut_{host_};
};

TEST_F(AResolver, GivesANumericAddressBackAtOnce) {
  for (const std::string address : {"127.0.0.1", "::1"}) {
    ask(address);
    EXPECT_EQ(answer_.value().value(), (std::vector<std::string>{address}));
    EXPECT_FALSE(sut_.is_busy());
  }
}

TEST_F(AResolver, KnowsLocalhostItself) {
  ask("localhost");
  EXPECT_EQ(answer_.value().value(), (std::vector<std::string>{"127.0.0.1", "::1"}));
}

// No name can be relied on here but one that nobody has: too long to be asked for anywhere.
TEST_F(AResolver, AsksForANameOnAThreadOfItsOwnAndAnswersOnTheLoop) {
  ask(std::string(300, 'a'));
  EXPECT_FALSE(answer_) << "the loop has not run";
  EXPECT_TRUE(sut_.is_busy());
  run_the_loop_until_it_is_answered();
  EXPECT_FALSE(was_busy_) << "it takes the next question inside the answer";
  EXPECT_EQ(thread_, std::this_thread::get_id());
  EXPECT_EQ(answer_.value().status().code(), BP_UNAVAILABLE);
  EXPECT_EQ(answer_->status().message().rfind("no address for 'aaa", 0), 0U);
}

TEST_F(AResolver, SaysNothingMoreWhenItIsDestroyedWhileBusy) {
  auto sut = std::make_unique<Resolver>(host_);
  bool told = false;
  sut->resolve(std::string(300, 'a'), [&](const Resolver::Answer&) { told = true; });
  ASSERT_TRUE(sut->is_busy());
  sut.reset();
  fake_.loop.run();
  EXPECT_FALSE(told);
}

TEST_F(AResolver, MayBeDestroyedByItsAnswer) {
  auto sut = std::make_unique<Resolver>(host_);
  bool told = false;
  sut->resolve(std::string(300, 'a'), [&](const Resolver::Answer& answer) {
    sut.reset();
    told = answer.status().is_error();
  });
  EXPECT_TRUE(test::eventually([&] {
    fake_.loop.run();
    return told;
  }));
}

}  // namespace
}  // namespace backplane
