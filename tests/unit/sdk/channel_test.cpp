// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/channel.hpp"

#include "backplane/sdk/shared_memory.hpp"
#include "support/as_nobody.hpp"
#include "support/eventually.hpp"
#include "support/scratch_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <numeric>
#include <optional>
#include <poll.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace backplane {
namespace {

using namespace std::chrono_literals;
using test::as_nobody;
using test::eventually;
using test::in_child;
using testing::HasSubstr;
using Which = Channel::Which;
using Options = Channel::Options;

constexpr auto kAlways = std::chrono::nanoseconds::max();  // it spins

NativeKey key_of(uint32_t type, const std::string& name = "channel") {
  return NativeKey::safe(NativeKey::Use::kSharedMemory, concat("bp-test-", getpid(), "-", name),
                         type)
      .value();
}

/// A sample that shows when it is not one: each word is the first.
template <size_t Words>
struct Block {
  explicit Block(uint64_t number = 0) { words.fill(number); }
  bool is_whole() const {
    return std::all_of(words.begin(), words.end(), [this](uint64_t w) { return w == words[0]; });
  }
  std::array<uint64_t, Words> words;
};
using Small = Block<3>;   // is in the head of its slot
using Large = Block<40>;  // is not

uint64_t number_of(const Sample& sample) {
  return *reinterpret_cast<const uint64_t*>(sample.data().data());
}

/// All that a subscriber has now.
std::vector<uint64_t> all_of(Subscriber& subscriber) {
  std::vector<uint64_t> out;
  for (;;) {
    const Result<Sample> next = subscriber.try_receive();
    if (!next) return out;
    out.push_back(number_of(*next));
  }
}
std::vector<uint64_t> from_to(uint64_t from, uint64_t to) {
  std::vector<uint64_t> out(to - from);
  std::iota(out.begin(), out.end(), from);
  return out;
}

class AChannel : public testing::Test {
 protected:
  ~AChannel() override { static_cast<void>(Channel::remove(key_)); }

  Channel open(const Options& options) const { return Channel::open(key_, options).value(); }
  template <class Object>
  Channel of(Options options = {}) const {
    options.sample_size = sizeof(Object);
    return open(options);
  }

  const NativeKey key_ = key_of(BP_KEY_POSIX);
};

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

// ---- waiting ----

TEST_F(AChannel, IsWaitedForUntilADeadline) {
  Channel sut = of<Small>();
  for (const auto spin : {0ns, 100'000ns, kAlways}) {
    Subscriber subscriber = sut.subscriber({.spin = spin}).value();
    const auto before = std::chrono::steady_clock::now();
    EXPECT_EQ(subscriber.receive_within(20ms).status().code(), BP_DEADLINE_EXCEEDED);
    EXPECT_GE(std::chrono::steady_clock::now() - before, 20ms);
  }
}

/// Back and forth, so that each waits for each.
void play(Channel& there, Channel& back, std::chrono::nanoseconds spin, uint64_t n) {
  std::thread other([&] {
    Subscriber in = there.subscriber({.spin = spin}).value();
    Publisher out = back.publisher().value();
    for (uint64_t i = 0; i < n; ++i) {
      const Sample sample = in.receive_within(20s).value();
      out.send(sample.data()).or_throw();
    }
  });
  Subscriber in = back.subscriber({.spin = spin}).value();
  Publisher out = there.publisher().value();
  ASSERT_TRUE(eventually([&] { return there.info().n_subscribers == 1; }));
  for (uint64_t i = 0; i < n; ++i) {
    out.send(Large(i)).or_throw();
    const Result<Sample> sample = in.receive_within(20s);
    ASSERT_TRUE(sample.is_ok()) << i << ": " << sample.status().to_string();
    ASSERT_EQ(number_of(*sample), i);
    ASSERT_TRUE(sample->as<Large>().is_whole());
  }
  other.join();
}

TEST_F(AChannel, WakesWhoSleeps) {
  Channel there = of<Large>();
  const NativeKey key = key_of(BP_KEY_POSIX, "back");
  Channel back = Channel::open(key, {.sample_size = sizeof(Large)}).value();
  play(there, back, 0ns, 2000);
  play(there, back, 2us, 2000);
}

TEST_F(AChannel, IsSeenByWhoSpins) {
  Channel there = of<Large>();
  const NativeKey key = key_of(BP_KEY_POSIX, "back");
  Channel back = Channel::open(key, {.sample_size = sizeof(Large)}).value();
  play(there, back, kAlways, 500);
}

TEST_F(AChannel, WakesAnEventLoop) {
  Channel sut = of<Small>();
  Publisher publisher = sut.publisher().value();
  Subscriber subscriber = sut.subscriber().value();
  publisher.send(Small(0)).or_throw();
  const int descriptor = subscriber.descriptor().value();
  EXPECT_EQ(subscriber.descriptor().value(), descriptor);
  const auto is_readable = [&](int ms) {
    pollfd one{descriptor, POLLIN, 0};
    return poll(&one, 1, ms) == 1;
  };
  EXPECT_TRUE(is_readable(0)) << "one was there before";
  EXPECT_EQ(all_of(subscriber), from_to(0, 1));
  EXPECT_FALSE(is_readable(0)) << "it found none";
  std::thread publishing([&] {
    for (uint64_t i = 1; i < 1000; ++i) publisher.send(Small(i)).or_throw();
  });
  uint64_t expected = 1;
  while (expected < 1000 && is_readable(20'000)) {
    const std::vector<uint64_t> received = all_of(subscriber);
    if (!received.empty()) expected = received.back() + 1;
  }
  publishing.join();
  EXPECT_EQ(expected, 1000u);
}

TEST_F(AChannel, WakesAnEventLoopOnceAndNotEachTime) {
  Channel sut = of<Small>({.capacity = 1024});
  Publisher publisher = sut.publisher().value();
  Subscriber subscriber = sut.subscriber().value();
  const int descriptor = subscriber.descriptor().value();
  EXPECT_EQ(subscriber.try_receive().status().code(), BP_DEADLINE_EXCEEDED);
  for (uint64_t i = 0; i < 1000; ++i) publisher.send(Small(i)).or_throw();
  char byte = 0;
  int wakes = 0;
  while (read(descriptor, &byte, 1) == 1) ++wakes;
  EXPECT_EQ(wakes, 1);
}

// ---- lossless ----

TEST_F(AChannel, ThatIsLosslessMakesPublishersWait) {
  Channel sut = of<Large>({.capacity = 4, .lossless = true});
  Publisher publisher = sut.publisher().value();
  for (uint64_t i = 0; i < 10; ++i) publisher.send(Large(i)).or_throw();  // for nobody
  Subscriber subscriber = sut.subscriber().value();
  for (uint64_t i = 10; i < 14; ++i) publisher.send(Large(i)).or_throw();
  publisher.loan<Large>() = Large(14);
  const Status full = publisher.publish_within(5ms);
  EXPECT_EQ(full.code(), BP_DEADLINE_EXCEEDED);
  EXPECT_THAT(full.to_string(), HasSubstr("is 4 samples behind"));
  EXPECT_EQ(number_of(subscriber.try_receive().value()), 10u);
  publisher.publish_within(5s).or_throw();  // what is still loaned
  EXPECT_EQ(all_of(subscriber), from_to(11, 15));
}

TEST_F(AChannel, ThatIsLosslessHasRoomBesidesAHistory) {
  Channel sut = of<Large>({.capacity = 4, .lossless = true});
  EXPECT_EQ(sut.subscriber({.history = 4}).status().code(), BP_INVALID_ARGUMENT);
  Subscriber subscriber = sut.subscriber({.history = 3}).value();
  Publisher publisher = sut.publisher().value();
  publisher.loan<Large>();
  EXPECT_TRUE(publisher.try_publish().is_ok());
}

TEST_F(AChannel, ThatIsLosslessGoesOnWithRoomForOne) {
  Channel sut = of<Large>({.capacity = 16, .lossless = true});
  Publisher publisher = sut.publisher().value();
  Subscriber subscriber = sut.subscriber().value();
  std::thread publishing([&] {
    for (uint64_t i = 0; i < 17; ++i) publisher.send(Large(i)).or_throw();
  });
  EXPECT_TRUE(eventually([&] { return sut.info().published == 16; }));
  EXPECT_EQ(number_of(subscriber.try_receive().value()), 0u);  // and no more
  publishing.join();
  EXPECT_EQ(sut.info().published, 17u);
}

TEST_F(AChannel, ThatIsLosslessWaitsForNobodyWhoLeft) {
  Channel sut = of<Large>({.capacity = 2, .lossless = true});
  Publisher publisher = sut.publisher().value();
  std::optional<Subscriber> subscriber(sut.subscriber().value());
  std::thread publishing([&] {
    for (uint64_t i = 0; i < 100; ++i) publisher.send(Large(i)).or_throw();
  });
  EXPECT_TRUE(eventually([&] { return sut.info().published == 2; }));
  subscriber.reset();
  publishing.join();
  EXPECT_EQ(sut.info().published, 100u);
}

TEST_F(AChannel, ThatIsLosslessLosesNothingWhileSubscribersComeAndGo) {
  Channel sut = of<Large>({.capacity = 4, .lossless = true});
  std::atomic<bool> is_over{false};
  std::thread publishing([&] {
    Publisher publisher = sut.publisher().value();
    for (uint64_t i = 0; !is_over; ++i) publisher.send(Large(i)).or_throw();
  });
  const auto subscribing = [&] {
    for (int i = 0; i < 50; ++i) {
      Subscriber subscriber = sut.subscriber({.history = 3}).value();
      std::optional<uint64_t> last;
      for (int n = 0; n < 20; ++n) {
        const Sample sample = subscriber.receive_within(20s).value();
        ASSERT_EQ(sample.lost(), 0u);
        ASSERT_TRUE(!last || number_of(sample) == *last + 1);
        ASSERT_TRUE(sample.as<Large>().is_whole());
        last = number_of(sample);
      }
    }
  };
  std::thread one(subscribing);
  std::thread two(subscribing);
  one.join();
  two.join();
  is_over = true;
  publishing.join();
}

// ---- many at once ----

template <class Object>
void publish_and_subscribe(Channel& sut, std::chrono::nanoseconds spin, uint64_t n) {
  const bool is_lossless = (sut.info().flags & BP_CHANNEL_LOSSLESS) != 0;
  constexpr uint64_t kPublishers = 3;
  std::vector<std::thread> threads;
  std::atomic<uint64_t> received{0};
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      Subscriber subscriber = sut.subscriber({.spin = spin}).value();
      std::array<uint64_t, kPublishers> last{};
      uint64_t next = 0;
      for (uint64_t seen = 0; seen < kPublishers * n;) {
        const Sample sample = subscriber.receive_within(20s).value();
        const Object& object = sample.as<Object>();
        ASSERT_TRUE(object.is_whole());
        ASSERT_EQ(sample.sequence(), next + sample.lost());
        ASSERT_TRUE(!is_lossless || sample.lost() == 0);
        const uint64_t from = object.words[0] % kPublishers;
        ASSERT_TRUE(object.words[0] >= last[from]) << "in order of each publisher";
        last[from] = object.words[0];
        next = sample.sequence() + 1;
        seen = next;
        ++received;
      }
    });
  }
  ASSERT_TRUE(eventually([&] { return sut.info().n_subscribers == 2; }));
  for (uint64_t p = 0; p < kPublishers; ++p) {
    threads.emplace_back([&, p] {
      Publisher publisher = sut.publisher().value();
      for (uint64_t i = 0; i < n; ++i) publisher.send(Object(i * kPublishers + p)).or_throw();
    });
  }
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(sut.info().published, kPublishers * n);
  EXPECT_TRUE(is_lossless ? received == 2 * kPublishers * n : received > 0) << received;
}

TEST_F(AChannel, IsForManyAtOnce) {
  Channel sut = open({.sample_size = sizeof(Large), .capacity = 4});
  publish_and_subscribe<Large>(sut, 0ns, 3000);
}
TEST_F(AChannel, IsForManyAtOnceWithSmallSamples) {
  Channel sut = open({.sample_size = sizeof(Small), .capacity = 4});
  publish_and_subscribe<Small>(sut, 0ns, 3000);
}
TEST_F(AChannel, IsForManyAtOnceThatSpin) {
  Channel sut = open({.sample_size = sizeof(Large), .capacity = 2});
  publish_and_subscribe<Large>(sut, kAlways, 1000);
}
TEST_F(AChannel, IsForManyAtOnceAndLossless) {
  Channel sut = open({.sample_size = sizeof(Large), .capacity = 2, .lossless = true});
  publish_and_subscribe<Large>(sut, 0ns, 1000);
}
TEST_F(AChannel, IsForManyAtOnceLosslessAndSmall) {
  Channel sut = open({.sample_size = sizeof(Small), .capacity = 8, .lossless = true});
  publish_and_subscribe<Small>(sut, 1us, 2000);
}

// ---- other processes ----

#ifndef __SANITIZE_THREAD__  // which has no threads in a child, and no thread with 64 locks
/// More than one socket may have sent that is not received.
TEST_F(AChannel, WakesHundredsOfEventLoops) {
  std::vector<Channel> channels;
  std::vector<Subscriber> subscribers;
  std::vector<Publisher> publishers;
  for (int i = 0; i < 30; ++i) {
    channels.push_back(
        Channel::open(key_of(BP_KEY_ANONYMOUS),
                      {.sample_size = 8, .capacity = 1, .publishers = 1, .subscribers = 20})
            .value());
    publishers.push_back(channels.back().publisher().value());
    for (int j = 0; j < 20; ++j) {
      subscribers.push_back(channels.back().subscriber().value());
      static_cast<void>(subscribers.back().descriptor().value());
      ASSERT_EQ(subscribers.back().try_receive().status().code(), BP_DEADLINE_EXCEEDED);
    }
  }
  for (Publisher& each : publishers) each.send(uint64_t{1}).or_throw();
  size_t n_readable = 0;
  for (Subscriber& each : subscribers) {
    pollfd one{each.descriptor().value(), POLLIN, 0};
    n_readable += poll(&one, 1, 0) == 1 ? 1 : 0;
  }
  EXPECT_EQ(n_readable, subscribers.size());
}

TEST_F(AChannel, HasAsManyPeersAsABitEach) {
  Channel sut = of<Large>({.capacity = 2, .publishers = 32, .subscribers = 32});
  std::vector<Publisher> publishers;
  std::vector<Subscriber> subscribers;
  for (int i = 0; i < 32; ++i) {
    publishers.push_back(sut.publisher().value());
    subscribers.push_back(sut.subscriber().value());
  }
  for (uint64_t i = 0; i < 32; ++i) {
    publishers[i].send(Large(i)).or_throw();
    for (Subscriber& each : subscribers) ASSERT_THAT(all_of(each), testing::ElementsAre(i));
  }
}

TEST_F(AChannel, GoesToAnotherProcess) {
  Channel sut = of<Large>({.lossless = true});
  const NativeKey key = key_;
  Publisher publisher = sut.publisher().value();
  std::atomic<int> code{-2};
  std::thread other([&] {
    code = in_child([&] {
      Channel same = Channel::attach(key).value();
      Subscriber subscriber = same.subscriber().value();
      for (uint64_t i = 0; i < 100; ++i) {
        const Result<Sample> sample = subscriber.receive_within(20s);
        if (!sample || number_of(*sample) != i || !sample->as<Large>().is_whole()) return 1;
      }
      return 0;
    });
  });
  EXPECT_TRUE(eventually([&] { return sut.info().n_subscribers == 1; }));
  for (uint64_t i = 0; i < 100; ++i) publisher.send(Large(i)).or_throw();
  other.join();
  EXPECT_EQ(code, 0);
}

TEST_F(AChannel, IsNotForAChildOfFork) {
  Channel sut = of<Large>();
  Publisher publisher = sut.publisher().value();
  Subscriber subscriber = sut.subscriber().value();
  publisher.send(Large(1)).or_throw();
  EXPECT_EQ(in_child([&] {
              const bool is_refused =
                  publisher.loan(1).status().code() == BP_FAILED_PRECONDITION &&
                  publisher.publish(0).code() == BP_FAILED_PRECONDITION &&
                  subscriber.try_receive().status().code() == BP_FAILED_PRECONDITION &&
                  subscriber.descriptor().status().code() == BP_FAILED_PRECONDITION &&
                  sut.publisher().status().code() == BP_FAILED_PRECONDITION &&
                  sut.subscriber().status().code() == BP_FAILED_PRECONDITION;
              { Publisher closed(std::move(publisher)); }
              { Subscriber closed(std::move(subscriber)); }
              return is_refused ? 0 : 1;
            }),
            0);
  EXPECT_EQ(sut.info().n_publishers, 1u) << "the child has closed nothing of its parent";
  EXPECT_THAT(all_of(subscriber), testing::ElementsAre(1u));
  publisher.send(Large(2)).or_throw();
  EXPECT_THAT(all_of(subscriber), testing::ElementsAre(2u));
}

TEST_F(AChannel, IsForThisUserAloneUnlessSaid) {
  if (getuid() != 0) GTEST_SKIP() << "becoming another user needs root";
  Channel sut = of<Small>();
  const NativeKey key = key_;
  EXPECT_TRUE(
      as_nobody([&] { return Channel::attach(key).status().code() == BP_PERMISSION_DENIED; }));
  const NativeKey open_key = key_of(BP_KEY_POSIX, "open");
  Channel for_all =
      Channel::open(open_key, {.sample_size = sizeof(Small), .permissions = 0666}).value();
  Subscriber subscriber = for_all.subscriber().value();
  EXPECT_TRUE(as_nobody([&] {
    return Channel::attach(open_key).value().publisher().value().send(Small(9)).is_ok();
  }));
  EXPECT_THAT(all_of(subscriber), testing::ElementsAre(9u));
}
#endif

}  // namespace
}  // namespace backplane
