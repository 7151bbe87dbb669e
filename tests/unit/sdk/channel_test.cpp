// SPDX-License-Identifier: Apache-2.0
// Channels: what is opened, published and received.
#include "backplane/sdk/shared_memory.hpp"
#include "channel_fixture.hpp"
#include "support/scratch_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <unistd.h>

namespace backplane {
namespace {

using testing::HasSubstr;

// ---- for each type of key, and each size of sample ----

struct Kind {
  const char* name;
  uint32_t key;
  uint64_t size;
};
void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }
class AChannelOf : public testing::TestWithParam<Kind> {
 protected:
  AChannelOf() {
    setenv("XDG_RUNTIME_DIR", folder_.path().c_str(), 1);
    key_ = key_of(GetParam().key);
  }
  ~AChannelOf() override { static_cast<void>(Channel::remove(key_)); }

  /// The same channel, as another process opens it.
  Channel again(Channel& channel) const {
    if (GetParam().key != BP_KEY_ANONYMOUS) return Channel::attach(key_).value();
    const int descriptor = channel.descriptor().value();
    Result<Channel> out = Channel::adopt(descriptor);
    close(descriptor);
    return std::move(out).value();
  }

  test::ScratchFolder folder_ = test::ScratchFolder::of_keys();
  NativeKey key_;
};
INSTANTIATE_TEST_SUITE_P(Kind, AChannelOf,
                         testing::Values(Kind{"PosixSmall", BP_KEY_POSIX, 40},
                                         Kind{"PosixLarge", BP_KEY_POSIX, 1000},
                                         Kind{"SystemVSmall", BP_KEY_SYSTEM_V, 8},
                                         Kind{"SystemVLarge", BP_KEY_SYSTEM_V, 41},
                                         Kind{"AnonymousSmall", BP_KEY_ANONYMOUS, 16},
                                         Kind{"AnonymousLarge", BP_KEY_ANONYMOUS, 100'000}),
                         [](const auto& kind) { return kind.param.name; });

TEST_P(AChannelOf, CarriesSamplesInOrderAndWhole) {
  const uint64_t size = GetParam().size;
  Channel sut = Channel::open(key_, {.which = Which::kNew, .sample_size = size}).value();
  Channel same = again(sut);
  Subscriber subscriber = same.subscriber().value();
  Publisher publisher = sut.publisher().value();
  for (uint64_t i = 0; i < 100; ++i) {
    const std::span<std::byte> memory = publisher.loan(size).value();
    ASSERT_EQ(memory.size(), size);
    ASSERT_EQ(reinterpret_cast<uintptr_t>(memory.data()) % (size > 40 ? 64 : 8), 0u);
    std::fill(memory.begin(), memory.end(), static_cast<std::byte>(i));
    publisher.publish().or_throw();
    const Sample sample = subscriber.try_receive().value();
    ASSERT_EQ(sample.data().size(), size);
    ASSERT_EQ(sample.sequence(), i);
    ASSERT_EQ(sample.lost(), 0u);
    ASSERT_TRUE(std::all_of(sample.data().begin(), sample.data().end(),
                            [&](std::byte byte) { return byte == static_cast<std::byte>(i); }));
  }
  EXPECT_EQ(subscriber.try_receive().status().code(), BP_DEADLINE_EXCEEDED);
}

TEST_P(AChannelOf, IsGoneWithItsLast) {
  {
    Channel sut = Channel::open(key_, {.sample_size = GetParam().size}).value();
    std::optional<Publisher> publisher(sut.publisher().value());
    publisher.reset();
    const Channel same = again(sut);
  }
  if (GetParam().key != BP_KEY_ANONYMOUS) {
    EXPECT_EQ(Channel::attach(key_).status().code(), BP_NOT_FOUND);
  }
}

// ---- what is opened ----

TEST_F(AChannel, IsWhatItsFirstOpenerSays) {
  Channel sut = open({.sample_size = 1000,
                      .capacity = 5,
                      .held = 3,
                      .publishers = 2,
                      .subscribers = 7,
                      .lossless = true});
  Channel same = open({.sample_size = 10, .capacity = 64});
  const bp_channel_info info = same.info();
  EXPECT_EQ(info.sample_size, 1000u);
  EXPECT_EQ(info.capacity, 8u) << "the next power of two";
  EXPECT_EQ(info.held, 3u);
  EXPECT_EQ(info.publishers, 2u);
  EXPECT_EQ(info.subscribers, 7u);
  EXPECT_EQ(info.flags, BP_CHANNEL_LOSSLESS);
  EXPECT_EQ(info.published, 0u);
  EXPECT_EQ(info.n_publishers, 0u);
}

TEST_F(AChannel, TellsWhoIsThereAndHowFarBehind) {
  Channel sut = of<Small>();
  Publisher publisher = sut.publisher().value();
  Subscriber slow = sut.subscriber().value();
  Subscriber quick = sut.subscriber().value();
  for (uint64_t i = 0; i < 3; ++i) publisher.send(Small(i)).or_throw();
  EXPECT_EQ(all_of(quick).size(), 3u);
  const bp_channel_info info = sut.info();
  EXPECT_EQ(info.published, 3u);
  EXPECT_EQ(info.n_publishers, 1u);
  EXPECT_EQ(info.n_subscribers, 2u);
  EXPECT_EQ(info.most_behind, 3u);
}

TEST_F(AChannel, IsNewOrExistingAsItsOpenerSays) {
  EXPECT_EQ(Channel::attach(key_).status().code(), BP_NOT_FOUND);
  Channel sut = of<Small>({.which = Which::kNew});
  EXPECT_EQ(Channel::open(key_, {.which = Which::kNew, .sample_size = 8}).status().code(),
            BP_ALREADY_EXISTS);
  Channel::remove(key_).or_throw();
  EXPECT_EQ(Channel::remove(key_).code(), BP_NOT_FOUND);
  EXPECT_EQ(Channel::attach(key_).status().code(), BP_NOT_FOUND);
  EXPECT_TRUE(sut.publisher().value().send(Small(1)).is_ok()) << "who has it goes on";
}

TEST_F(AChannel, RefusesWhatCannotBe) {
  const auto code = [&](const Options& options) {
    return Channel::open(key_, options).status().code();
  };
  EXPECT_EQ(code({}), BP_INVALID_ARGUMENT) << "no size";
  EXPECT_EQ(code({.sample_size = 8, .publishers = 60, .subscribers = 5}), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code({.sample_size = 8, .publishers = UINT32_MAX, .subscribers = 2}),
            BP_INVALID_ARGUMENT);
  EXPECT_EQ(code({.sample_size = 8, .capacity = 32769}), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code({.sample_size = 8, .capacity = 32768, .held = 10'000}), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code({.sample_size = 8, .held = UINT32_MAX}), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code({.sample_size = UINT64_MAX}), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code({.sample_size = 8, .permissions = 01000}), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code({.sample_size = uint64_t{1} << 29U, .capacity = 32768}), BP_RESOURCE_EXHAUSTED)
      << "16 TiB, which are not there: an error now, not SIGBUS later";
  EXPECT_EQ(Channel::attach(key_).status().code(), BP_NOT_FOUND) << "nothing was made";
}

TEST_F(AChannel, RefusesUnknownOptions) {
  bp_key key{};
  key_.raw(key).or_throw();
  const auto code = [&](bp_channel_options options) {
    bp_channel* out = nullptr;
    const bp_status status = bp_channel_open(&key, &options, &out, nullptr);
    bp_channel_close(out);
    return status;
  };
  bp_channel_options good{};
  good.struct_size = sizeof good;
  good.which = BP_CHANNEL_ANY;
  good.sample_size = 8;
  EXPECT_EQ(code(good), BP_OK);
  bp_channel_options bad = good;
  bad.struct_size = 4;
  EXPECT_EQ(code(bad), BP_INVALID_ARGUMENT);
  bad = good;
  bad.which = 3;
  EXPECT_EQ(code(bad), BP_INVALID_ARGUMENT);
  bad = good;
  bad.flags = 8;
  EXPECT_EQ(code(bad), BP_INVALID_ARGUMENT);
  bp_channel* out = nullptr;
  EXPECT_EQ(bp_channel_open(&key, nullptr, &out, nullptr), BP_NOT_FOUND);
}

TEST_F(AChannel, MustBeWhatIsRequired) {
  Channel sut = open({.sample_size = 100});
  const Status too_small = Channel::open(key_, {.sample_size = 101}).status();
  EXPECT_EQ(too_small.code(), BP_OUT_OF_RANGE);
  EXPECT_THAT(too_small.to_string(), HasSubstr("up to 100 bytes, not 101"));
  const Status lossy = Channel::open(key_, {.sample_size = 100, .lossless = true}).status();
  EXPECT_EQ(lossy.code(), BP_FAILED_PRECONDITION);
  EXPECT_THAT(lossy.to_string(), HasSubstr("not lossless"));
}

TEST_F(AChannel, IsNotAnyOtherSegment) {
  SharedMemory memory = SharedMemory::open(key_, {.size = 100'000}).value();
  const Status status = Channel::attach(key_).status();
  EXPECT_EQ(status.code(), BP_DATA_LOSS);
  EXPECT_THAT(status.to_string(), HasSubstr("is no channel"));
}

/// Each byte of what is said of its shape, wrong: refused or used, and nothing outside is touched.
TEST_F(AChannel, WithADamagedHeadIsRefusedOrUsed) {
  Channel keeping = of<Large>({.capacity = 4});
  SharedMemory memory = SharedMemory::attach(key_).value();
  int refused = 0;
  for (size_t i = 0; i < 48; ++i) {
    for (const int change : {0xff, 0x01, 0x80}) {
      memory.data()[i] ^= static_cast<std::byte>(change);
      Result<Channel> damaged = Channel::attach(key_);
      if (!damaged) {
        ++refused;
        EXPECT_EQ(damaged.status().code(), BP_DATA_LOSS);
      } else if (Result<Publisher> publisher = damaged->publisher(); publisher.is_ok()) {
        static_cast<void>(publisher->send(std::span<const std::byte>()));
      }
      memory.data()[i] ^= static_cast<std::byte>(change);
    }
  }
  EXPECT_GT(refused, 60);
}

/// What says that a sample is not in the head of its slot, where there is no other place.
TEST_F(AChannel, OfSmallSamplesReadsNothingBehindItsSegment) {
  Channel sut = of<Small>({.capacity = 1});
  Publisher publisher = sut.publisher().value();
  Subscriber subscriber = sut.subscriber().value();
  SharedMemory memory = SharedMemory::attach(key_).value();
  publisher.send(Small(1)).or_throw();
  // The heads are the last page and more of it: `is_inline` is at 22 in each.
  const std::span<std::byte> bytes = memory.data();
  for (size_t at = bytes.size() - 30UL * 64; at < bytes.size(); at += 64) {
    bytes[at + 22] = bytes[at + 23] = std::byte{0};
  }
  const Result<Sample> sample = subscriber.try_receive();
  EXPECT_TRUE(!sample || sample->data().data() < bytes.data() ||
              sample->data().data() >= bytes.data() + bytes.size());
  EXPECT_TRUE(!sample || number_of(*sample) == 1);
}

TEST_F(AChannel, HasNoMorePeersThanItWasMadeFor) {
  Channel sut = of<Small>({.publishers = 1, .subscribers = 2});
  std::optional<Publisher> publisher(sut.publisher().value());
  const Status second = sut.publisher().status();
  EXPECT_EQ(second.code(), BP_RESOURCE_EXHAUSTED);
  EXPECT_THAT(second.to_string(), HasSubstr("has 1 publishers already"));
  Subscriber one = sut.subscriber().value();
  Subscriber two = sut.subscriber().value();
  EXPECT_EQ(sut.subscriber().status().code(), BP_RESOURCE_EXHAUSTED);
  publisher.reset();
  EXPECT_TRUE(sut.publisher().is_ok()) << "its place is free";
}

TEST_F(AChannel, OutlivesItsObject) {
  std::optional<Channel> sut(of<Small>());
  Publisher publisher = sut->publisher().value();
  Subscriber subscriber = sut->subscriber().value();
  sut.reset();
  publisher.send(Small(5)).or_throw();
  EXPECT_THAT(all_of(subscriber), testing::ElementsAre(5u));
}

// ---- publishing ----

TEST_F(AChannel, LoansOneSampleAtATime) {
  Channel sut = open({.sample_size = 1000});
  Publisher publisher = sut.publisher().value();
  Subscriber subscriber = sut.subscriber().value();
  EXPECT_EQ(publisher.publish(0).code(), BP_FAILED_PRECONDITION) << "nothing is loaned";
  EXPECT_EQ(publisher.loan(1001).status().code(), BP_OUT_OF_RANGE);
  static_cast<void>(publisher.loan(1000).value());
  EXPECT_EQ(publisher.publish(1001).code(), BP_OUT_OF_RANGE);
  publisher.loan<uint64_t>() = 7;  // instead of the first
  publisher.publish().or_throw();
  EXPECT_EQ(publisher.publish(8).code(), BP_FAILED_PRECONDITION) << "it is published";
  EXPECT_THAT(all_of(subscriber), testing::ElementsAre(7u));
}

TEST_F(AChannel, HasSamplesOfAnySizeUpToTheLargest) {
  Channel sut = open({.sample_size = 1000});
  Publisher publisher = sut.publisher().value();
  Subscriber subscriber = sut.subscriber().value();
  for (const size_t size : {0U, 1U, 8U, 39U, 40U, 41U, 64U, 999U, 1000U}) {
    const std::vector<std::byte> bytes(size, static_cast<std::byte>(size));
    publisher.send(bytes).or_throw();
    const Sample sample = subscriber.try_receive().value();
    ASSERT_TRUE(std::equal(sample.data().begin(), sample.data().end(), bytes.begin(), bytes.end()))
        << size;
  }
  static_cast<void>(publisher.loan(1000).value());
  publisher.publish(3).or_throw();
  EXPECT_EQ(subscriber.try_receive()->data().size(), 3u) << "less than was loaned";
}

TEST_F(AChannel, HasObjectsThatAreAligned) {
  struct alignas(32) Vector {
    std::array<double, 4> values;
  };
  Channel sut = of<Vector>({.held = 4});
  Publisher publisher = sut.publisher().value();
  Subscriber subscriber = sut.subscriber().value();
  std::vector<Sample> held;
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(&publisher.loan<Vector>()) % 32, 0u);
    publisher.publish().or_throw();
    held.push_back(subscriber.receive().value());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(&held.back().as<Vector>()) % 32, 0u);
  }
}

TEST_F(AChannel, ReadsAsAnObjectOnlyWhatIsAsLarge) {
  Channel sut = open({.sample_size = 1000});
  Publisher publisher = sut.publisher().value();
  Subscriber subscriber = sut.subscriber().value();
  publisher.send(uint32_t{1}).or_throw();
  const Sample sample = subscriber.receive().value();
  EXPECT_EQ(sample.as<uint32_t>(), 1u);
  EXPECT_THROW(static_cast<void>(sample.as<uint64_t>()), Error);
}

// ---- subscribing ----

TEST_F(AChannel, GivesEachSubscriberAllFromWhenItCame) {
  Channel sut = of<Small>();
  Publisher publisher = sut.publisher().value();
  Subscriber first = sut.subscriber().value();
  publisher.send(Small(0)).or_throw();
  Subscriber second = sut.subscriber().value();
  publisher.send(Small(1)).or_throw();
  EXPECT_EQ(all_of(first), from_to(0, 2));
  EXPECT_EQ(all_of(second), from_to(1, 2));
}

TEST_F(AChannel, GivesWhoComesLateItsHistory) {
  Channel sut = of<Large>({.capacity = 8});
  Publisher publisher = sut.publisher().value();
  for (uint64_t i = 0; i < 20; ++i) publisher.send(Large(i)).or_throw();
  const auto history = [&](uint32_t n) {
    Subscriber subscriber = sut.subscriber({.history = n}).value();
    return all_of(subscriber);
  };
  EXPECT_EQ(history(0), from_to(20, 20));
  EXPECT_EQ(history(1), from_to(19, 20));
  EXPECT_EQ(history(8), from_to(12, 20));
  EXPECT_EQ(sut.subscriber({.history = 9}).status().code(), BP_INVALID_ARGUMENT);
}

TEST_F(AChannel, HasNoMoreHistoryThanThereWas) {
  Channel sut = of<Large>({.capacity = 8});
  Publisher publisher = sut.publisher().value();
  publisher.send(Large(0)).or_throw();
  Subscriber subscriber = sut.subscriber({.history = 7}).value();
  EXPECT_EQ(all_of(subscriber), from_to(0, 1));
}

TEST_F(AChannel, LosesTheOldestAndSaysHowMany) {
  Channel sut = of<Large>({.capacity = 8});
  Publisher publisher = sut.publisher().value();
  Subscriber subscriber = sut.subscriber().value();
  for (uint64_t i = 0; i < 100; ++i) publisher.send(Large(i)).or_throw();
  Sample sample = subscriber.try_receive().value();
  EXPECT_EQ(number_of(sample), 92u);
  EXPECT_EQ(sample.sequence(), 92u);
  EXPECT_EQ(sample.lost(), 92u);
  sample = subscriber.try_receive().value();
  EXPECT_EQ(sample.sequence(), 93u);
  EXPECT_EQ(sample.lost(), 0u);
  EXPECT_EQ(all_of(subscriber), from_to(94, 100));
}

template <class Object>
void expect_held_as_it_is(Channel sut) {
  Publisher publisher = sut.publisher().value();
  Subscriber subscriber = sut.subscriber().value();
  std::vector<Sample> held;
  for (uint64_t i = 0; i < 3; ++i) {
    publisher.send(Object(i)).or_throw();
    held.push_back(subscriber.try_receive().value());
  }
  publisher.send(Object(3)).or_throw();
  const Status fourth = subscriber.try_receive().status();
  EXPECT_EQ(fourth.code(), BP_RESOURCE_EXHAUSTED);
  EXPECT_THAT(fourth.to_string(), HasSubstr("3 samples are held"));
  for (uint64_t i = 4; i < 1000; ++i) publisher.send(Object(i)).or_throw();
  for (uint64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(number_of(held[i]), i);
    EXPECT_TRUE(held[i].template as<Object>().is_whole());
  }
  std::swap(held[0], held[2]);  // given back in another order
  held.pop_back();
  EXPECT_EQ(number_of(subscriber.try_receive().value()), 996u);
  EXPECT_EQ(number_of(held[0]), 2u);
  held.clear();
  EXPECT_EQ(all_of(subscriber), from_to(997, 1000));
}
TEST_F(AChannel, LeavesWhatIsHeldAsItIs) {
  expect_held_as_it_is<Large>(of<Large>({.capacity = 4, .held = 3}));
}
TEST_F(AChannel, LeavesSmallOnesThatAreHeldAsTheyAre) {
  expect_held_as_it_is<Small>(of<Small>({.capacity = 4, .held = 3}));
}

/// Nobody can hold so much that another's loan fails.
TEST_F(AChannel, AlwaysHasASampleToLoan) {
  Channel sut = of<Large>({.capacity = 2, .held = 2, .publishers = 3, .subscribers = 2});
  std::vector<Publisher> publishers;
  std::vector<Subscriber> subscribers;
  for (int i = 0; i < 3; ++i) publishers.push_back(sut.publisher().value());
  for (int i = 0; i < 2; ++i) subscribers.push_back(sut.subscriber().value());
  std::vector<Sample> held;
  for (uint64_t i = 0; i < 300; ++i) {
    ASSERT_TRUE(publishers[i % 3].send(Large(i)).is_ok()) << i;
    if (i % 50 < 2) {
      for (Subscriber& each : subscribers) held.push_back(each.try_receive().value());
    } else if (i % 50 == 40) {
      held.clear();
    }
  }
}

TEST_F(AChannel, IsNotConfusedByASampleThatIsReleasedTwice) {
  for (const uint64_t size : {8U, 1000U}) {
    Channel sut = Channel::open(key_of(BP_KEY_ANONYMOUS), {.sample_size = size, .held = 1}).value();
    Publisher publisher = sut.publisher().value();
    Subscriber subscriber = sut.subscriber().value();
    const std::vector<std::byte> bytes(size);
    bp_sample sample{};
    for (int i = 0; i < 3; ++i) {
      publisher.send(bytes).or_throw();
      ASSERT_EQ(bp_subscriber_receive(subscriber.raw(), 1, &sample, nullptr), BP_OK);
      bp_subscriber_release(subscriber.raw(), &sample);
      bp_subscriber_release(subscriber.raw(), &sample);
    }
  }
}

TEST_F(AChannel, GivesNoMemoryTwiceForASampleThatIsReleasedTwice) {
  Channel sut = of<Small>({.held = 2});
  Publisher publisher = sut.publisher().value();
  Subscriber subscriber = sut.subscriber().value();
  std::array<bp_sample, 3> samples{};
  const auto receive = [&](size_t i) {
    publisher.send(Small(i)).or_throw();
    return bp_subscriber_receive(subscriber.raw(), 1, &samples[i], nullptr);
  };
  ASSERT_EQ(receive(0), BP_OK);
  ASSERT_EQ(receive(1), BP_OK);
  for (int i = 0; i < 2; ++i) bp_subscriber_release(subscriber.raw(), &samples[0]);
  samples[0].slot += 77;  // none that there is
  bp_subscriber_release(subscriber.raw(), &samples[0]);
  ASSERT_EQ(receive(2), BP_OK);
  EXPECT_NE(samples[2].data, samples[1].data);
  EXPECT_EQ(receive(0), BP_RESOURCE_EXHAUSTED);
}

TEST_F(AChannel, SendsTextAsItsBytes) {
  Channel sut = Channel::open(key_of(BP_KEY_ANONYMOUS), {.sample_size = 100}).value();
  Publisher publisher = sut.publisher().value();
  Subscriber subscriber = sut.subscriber().value();
  publisher.send(std::string_view("hi")).or_throw();
  publisher.send("hello").or_throw();
  EXPECT_EQ(subscriber.try_receive().value().data().size(), 2u);
  EXPECT_EQ(subscriber.try_receive().value().data().size(), 5u);
}

TEST_F(AChannel, ReturnsWhatAClosedSubscriberHeld) {
  Channel sut = of<Large>({.capacity = 2, .held = 2, .publishers = 1, .subscribers = 1});
  Publisher publisher = sut.publisher().value();
  for (uint64_t i = 0; i < 50; ++i) {
    Subscriber subscriber = sut.subscriber().value();
    publisher.send(Large(i)).or_throw();
    bp_sample sample{};
    ASSERT_EQ(bp_subscriber_receive(subscriber.raw(), 1, &sample, nullptr),
              BP_OK);  // never released
    ASSERT_TRUE(publisher.send(Large(i)).is_ok());
  }
}

}  // namespace
}  // namespace backplane
