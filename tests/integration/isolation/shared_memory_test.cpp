// SPDX-License-Identifier: Apache-2.0
// What an isolated plugin shares by bp.shared_memory/1: memory that its kernel gives it.
#include "backplane/sdk/host_memory.hpp"
#include "integration/isolation/fixture.hpp"

#include <cerrno>
#include <poll.h>

namespace backplane::test {
namespace {

using testing::HasSubstr;

/// The socket that wakes others is one for the process, and stays: it is there before anything is
/// counted.
class WakeSocketIsThere {
 protected:
  WakeSocketIsThere() {
    const NativeKey key("numbers", BP_KEY_ANONYMOUS);
    EXPECT_TRUE(Channel::open(key, {.sample_size = 8}).value().publisher());
  }
};

class AnIsolatedPluginThatShares : private WakeSocketIsThere, public IsolatedInstances {
 protected:
  static constexpr std::string_view kKey = "shares = \"anonymous:numbers\"\n";

  std::string refusal(std::string_view path) {
    const auto opened = kernel_->open(path).within(10s).get();
    return opened.status().to_string();
  }
};

TEST_F(AnIsolatedPluginThatShares, HasTheChannelOfItsKernelAndIsWokenByItsDescriptor) {
  ASSERT_TRUE(start_it(kKey).is_ok()) << log();
  const Endpoint plugin = open("it:shared");
  Channel channel =
      open_channel(kernel_->host(), "anonymous:numbers", {.which = Channel::Which::kExisting})
          .value();
  Publisher publisher = channel.publisher().value();
  ASSERT_TRUE(publisher.send(int64_t{17}).is_ok());
  EXPECT_TRUE(eventually([&] { return plugin.read<int64_t>().value() == 17; }));

  Subscriber subscriber = channel.subscriber().value();
  const int descriptor = subscriber.descriptor().value();
  while (subscriber.try_receive()) {
  }
  ASSERT_TRUE(plugin.write(int64_t{23}).within(10s).get().is_ok());
  pollfd wait{descriptor, POLLIN, 0};
  EXPECT_EQ(poll(&wait, 1, 10'000), 1) << "the plugin's process has woken this one";
  EXPECT_EQ(subscriber.receive_within(10s).value().as<int64_t>(), 23);
}

TEST_F(AnIsolatedPluginThatShares, MeetsOthersOfItsKernel) {
  ASSERT_TRUE(start(R"(
[instances.it]
plugin = "crashing"
isolation = "process"
shares = "anonymous:numbers"
[instances.other]
plugin = "crashing"
isolation = "process"
shares = "anonymous:numbers"
)")
                  .is_ok());
  const Endpoint writer = open("it:shared");
  const Endpoint reader = open("other:shared");
  ASSERT_TRUE(writer.write(int64_t{29}).within(10s).get().is_ok());
  EXPECT_TRUE(eventually([&] { return reader.read<int64_t>().value() == 29; }));
}

TEST_F(AnIsolatedPluginThatShares, HasBytesThatAreThereWhenItIsStartedAgain) {
  ASSERT_TRUE(start_it("shares = \"anonymous:bytes\"\n").is_ok());
  EXPECT_EQ(open("it:bytes").call<int64_t>().value(), 1);
  const Endpoint fine = open("it:fine");
  ASSERT_EQ(kill(process(fine), SIGKILL), 0);
  ASSERT_TRUE(eventually([&] { return process(fine) > 0; }));
  EXPECT_EQ(open("it:bytes").call<int64_t>().value(), 2);
}

TEST_F(AnIsolatedPluginThatShares, IsRefusedWhatItsConfigurationDoesNotHave) {
  ASSERT_TRUE(start_it(kKey).is_ok());
  EXPECT_THAT(refusal("it:another"), HasSubstr("PERMISSION_DENIED: the configuration of 'it' does "
                                               "not have the key 'anonymous:x' of shared memory"));
}

TEST_F(AnIsolatedPluginThatShares, IsToldThatKeysOfTheSystemAreNotForIt) {
  ASSERT_TRUE(start_it("shares = \"posix:/numbers\"\n").is_ok());
  EXPECT_THAT(refusal("it:shared"), HasSubstr("UNIMPLEMENTED: 'posix:/numbers': "));
}

TEST_F(AnIsolatedPluginThatShares, SendsDatagramsOfTheMachineAndNothingElse) {
  ASSERT_TRUE(start_it(kKey).is_ok());
  const auto attempt = [this](std::string_view what) {
    return open("it:try").call<int>(what).within(10s).get().value_or(-1);
  };
  EXPECT_EQ(attempt("unix:datagram"), 0);
  EXPECT_EQ(attempt("unix:stream"), EPERM);
  EXPECT_EQ(attempt("unix:raw"), EPERM);
  EXPECT_EQ(attempt("socket"), EPERM);
  EXPECT_EQ(attempt("write:/dev/shm/backplane-sandbox-test"), EACCES);
}

TEST_F(AnIsolatedPluginThatShares, MakesNoMoreThanItsMemory) {
  ASSERT_TRUE(start_it("shares = \"anonymous:bytes\"\nisolated.memory_mib = 64\n").is_ok());
  EXPECT_EQ(open("it:bytes").call<int64_t>().value(), 1);
  EXPECT_THAT(refusal("it:large"),
              HasSubstr("RESOURCE_EXHAUSTED: 'anonymous:bytes' would take 101 MiB"));
}

// Nothing that it has done with its memory harms who gives it that memory again.
TEST_F(AnIsolatedPluginThatShares, GetsWhatItHasDamaged) {
  ASSERT_TRUE(start_it(kKey).is_ok());
  const Endpoint plugin = open("it:shared");
  Channel channel =
      open_channel(kernel_->host(), "anonymous:numbers", {.which = Channel::Which::kExisting})
          .value();
  const int descriptor = channel.descriptor().value();
  ASSERT_EQ(ftruncate(descriptor, off_t{1} << 40), 0) << "it can grow";
  const uint64_t garbage = ~uint64_t{0} >> 2;
  for (off_t at = 0; at < 8192; at += 8) {
    ASSERT_EQ(pwrite(descriptor, &garbage, sizeof garbage, at), 8);
  }
  close(descriptor);
  EXPECT_THAT(refusal("it:shared"), HasSubstr("DATA_LOSS: 'anonymous:numbers' of this kernel: "));
  EXPECT_GT(process(open("it:fine")), 0);
}

TEST_F(AnIsolatedPluginThatShares, ElseItSendsNone) {
  ASSERT_TRUE(start_it("shares = \"posix:/numbers\"\n").is_ok()) << "of no use to it";
  EXPECT_EQ(open("it:try").call<int>("unix:datagram").within(10s).get().value_or(-1), EPERM);
}

}  // namespace
}  // namespace backplane::test
