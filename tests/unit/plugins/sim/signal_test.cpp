// SPDX-License-Identifier: Apache-2.0
#include "plugins/sim/signal.hpp"

#include <backplane/sdk/arena.hpp>

#include <gmock/gmock.h>

namespace backplane::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;

SignalOptions options(Shape shape) {
  SignalOptions out;
  out.name = "t";
  out.shape = shape;
  out.min = 10;
  out.max = 20;
  out.period = seconds(4);
  out.interval = milliseconds(500);
  out.seed = 1;
  return out;
}
std::vector<double> take(Signal& signal, size_t n) {
  std::vector<double> out;
  for (size_t i = 0; i < n; ++i) {
    out.push_back(signal.next());
  }
  return out;
}

TEST(Signal, SineBeginsInTheMiddleRisesAndReturnsAfterAPeriod) {
  Signal sut(options(Shape::kSine));
  EXPECT_THAT(take(sut, 9),
              ElementsAre(15, 18.536, 20, 18.536, 15, 11.464, 10, 11.464, DoubleNear(15, 0.001)));
}

TEST(Signal, RampRisesAndBeginsAgain) {
  Signal sut(options(Shape::kRamp));
  EXPECT_THAT(take(sut, 10),
              ElementsAre(10, 11.25, 12.5, 13.75, 15, 16.25, 17.5, 18.75, 10, 11.25));
}

TEST(Signal, RandomWalkStaysWithinItsBoundsAndReachesBothSides) {
  SignalOptions walk = options(Shape::kRandomWalk);
  walk.period = seconds(50);
  Signal sut(walk);
  const std::vector<double> values = take(sut, 5'000);
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  EXPECT_GE(*low, 10);
  EXPECT_LE(*high, 20);
  EXPECT_LT(*low, 11);
  EXPECT_GT(*high, 19);
}

TEST(Signal, RandomWalkOfOneSeedIsTheSameEachTimeAndOfAnotherIsNot) {
  Signal a(options(Shape::kRandomWalk));
  Signal b(options(Shape::kRandomWalk));
  SignalOptions other = options(Shape::kRandomWalk);
  other.seed = 2;
  Signal c(other);
  const std::vector<double> first = take(a, 20);
  EXPECT_EQ(first, take(b, 20));
  EXPECT_NE(first, take(c, 20));
}

TEST(Signal, StepsAreSmallEvenWhenAPeriodIsShorterThanATick) {
  SignalOptions wild = options(Shape::kRandomWalk);
  wild.period = milliseconds(1);
  Signal sut(wild);
  for (const double value : take(sut, 1'000)) {
    EXPECT_TRUE(value >= 10 && value <= 20) << value;
  }
}

TEST(Signal, GoesOnFromAnOutsideValue) {
  for (const Shape shape : {Shape::kSine, Shape::kRamp, Shape::kRandomWalk}) {
    Signal sut(options(shape));
    take(sut, 3);
    sut.go_on_from(12);
    EXPECT_NEAR(sut.next(), 12, shape == Shape::kRandomWalk ? 7 : 4);
  }
  Signal sine(options(Shape::kSine));
  sine.next();
  sine.go_on_from(15);
  EXPECT_EQ(sine.next(), 18.536);
}

TEST(Signal, CutsAnOutsideValueToItsBounds) {
  Signal sut(options(Shape::kRamp));
  sut.next();
  sut.go_on_from(1'000);
  EXPECT_EQ(sut.next(), 11.25);
}

TEST(Signal, RoundsToItsDecimals) {
  SignalOptions whole = options(Shape::kSine);
  whole.decimals = 0;
  Signal sut(whole);
  EXPECT_THAT(take(sut, 3), ElementsAre(15, 19, 20));
}

TEST(SignalOptions, TakeTheirNameFromTheTarget) {
  StackArena arena;
  const auto read = [&](ValueView to) {
    return read_options(Config(arena.map({{"to", to},
                                          {"shape", "ramp"},
                                          {"min", 0},
                                          {"max", 1.5},
                                          {"period_s", 2},
                                          {"interval_ms", 250},
                                          {"hold_s", 3},
                                          {"seed", 0},
                                          {"decimals", 2}})));
  };
  EXPECT_EQ(read("sensors:/line1/temperature").name, "temperature");
  EXPECT_EQ(read("main:speed").name, "speed");
  EXPECT_EQ(read("speed").name, "speed");
  EXPECT_EQ(read("main:speed").interval, milliseconds(250));
  EXPECT_NE(read("main:speed").seed, 0U);
  EXPECT_THROW(read("sensors:/"), Error);
}

TEST(SignalOptions, RefuseAMinimumAboveTheMaximum) {
  StackArena arena;
  const Config table(arena.map({{"name", "x"}, {"shape", "sine"}, {"min", 2}, {"max", 1}}));
  try {
    read_options(table);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(std::string(error.status().message()), HasSubstr("'min'"));
  }
}

}  // namespace
}  // namespace backplane::sim
