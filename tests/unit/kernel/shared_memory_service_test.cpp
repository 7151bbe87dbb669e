// SPDX-License-Identifier: Apache-2.0
// bp.shared_memory/1: segments and channels for plugins.
#include "backplane/sdk/host_memory.hpp"
#include "support/scripted_plugin.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <unistd.h>

namespace backplane::test {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using Which = Channel::Which;

std::string posix_key() { return "posix:/bp_service_test_" + std::to_string(getpid()); }

// A plugin that has the service, and an application beside it.
class SharedMemoryService : public ::testing::Test {
 protected:
  SharedMemoryService() { run("\"anonymous:frames\", \"" + posix_key() + "\""); }

  void run(const std::string& keys) {
    plugin.reset();
    application.reset();
    kernel.reset();
    kernel = std::make_unique<ScriptedKernel>("[instances.it]\nplugin = \"scripted\"\nshared = [" +
                                              keys + "]\n");
    ASSERT_EQ(kernel->start(), BP_OK);
    plugin.emplace(script.host);
    application.emplace(kernel->host);
  }

  static void send(Channel& channel, int value) {
    ASSERT_TRUE(channel.publisher().value().send(value).is_ok());
  }
  static int received(Channel& channel) {
    Subscriber subscriber = channel.subscriber({.history = 1}).value();
    return subscriber.receive_within(5s).value().as<int>();
  }

  Script script;
  std::unique_ptr<ScriptedKernel> kernel;
  std::optional<Host> plugin;
  std::optional<Host> application;
};

constexpr Channel::Options kOfInts{.sample_size = sizeof(int)};

TEST_F(SharedMemoryService, ANameIsOneChannelForAllOfTheKernel) {
  Channel ours = open_channel(*plugin, "anonymous:frames", kOfInts).value();
  Channel theirs =
      open_channel(*application, "anonymous:frames", {.which = Which::kExisting}).value();
  send(ours, 17);
  EXPECT_EQ(received(theirs), 17);
  EXPECT_EQ(open_channel(*plugin, "anonymous:frames", {.which = Which::kNew, .sample_size = 4})
                .status()
                .code(),
            BP_ALREADY_EXISTS);
}

TEST_F(SharedMemoryService, WhatDoesNotFitIsCalledByItsName) {
  const SharedMemory ours = open_memory(*plugin, "anonymous:frames", {.size = 100}).value();
  EXPECT_THAT(open_channel(*application, "anonymous:frames", kOfInts).status().to_string(),
              HasSubstr(": 'anonymous:frames' of this kernel: "));
}

TEST_F(SharedMemoryService, ANameOfAnotherKernelIsAnother) {
  Channel ours = open_channel(*application, "anonymous:frames", kOfInts).value();
  const std::unique_ptr<bp_kernel, void (*)(bp_kernel*)> other(
      [] {
        bp_kernel* out = nullptr;
        bp_kernel_options options{};
        options.struct_size = BP_SIZE_TO(bp_kernel_options, user);
        EXPECT_EQ(bp_kernel_create(&options, &out, nullptr), BP_OK);
        return out;
      }(),
      bp_kernel_destroy);
  const Host elsewhere(bp_kernel_host(other.get()));
  EXPECT_EQ(
      open_channel(elsewhere, "anonymous:frames", {.which = Which::kExisting}).status().code(),
      BP_NOT_FOUND);
}

TEST_F(SharedMemoryService, WhatANameHasLivesAsLongAsTheKernel) {
  {
    Channel channel = open_channel(*plugin, "anonymous:frames", kOfInts).value();
    send(channel, 23);
  }
  Channel again = open_channel(*plugin, "anonymous:frames", kOfInts).value();
  EXPECT_EQ(received(again), 23);
  run("\"anonymous:frames\"");
  EXPECT_EQ(open_channel(*plugin, "anonymous:frames", {.which = Which::kExisting}).status().code(),
            BP_NOT_FOUND);
}

TEST_F(SharedMemoryService, ANameHasBytesToo) {
  constexpr SharedMemory::Options kOptions{.size = 100};
  SharedMemory ours = open_memory(*plugin, "anonymous:frames", kOptions).value();
  SharedMemory theirs = open_memory(*application, "anonymous:frames", kOptions).value();
  {
    const ProcessLock lock = ours.lock().value();
    ours.as<int>() = 5;
    EXPECT_EQ(theirs.lock_within(0ns).status().code(), BP_FAILED_PRECONDITION) << "this thread's";
  }
  EXPECT_EQ(theirs.as<int>(), 5);
  ASSERT_TRUE(ours.grow(10'000).is_ok());
  ASSERT_TRUE(theirs.refresh().is_ok());
  EXPECT_EQ(theirs.size(), 10'000u);
}

TEST_F(SharedMemoryService, AKeyOfTheSystemIsThatOfAllProcesses) {
  Channel ours = open_channel(*plugin, posix_key(), kOfInts).value();
  Channel theirs = Channel::attach(NativeKey::parse(posix_key()).value()).value();
  send(ours, 29);
  EXPECT_EQ(received(theirs), 29);
}

TEST_F(SharedMemoryService, NoKeyIsOneOfItsOwn) {
  Channel ours = open_channel(*plugin, "", kOfInts).value();
  Channel another = open_channel(*plugin, "", kOfInts).value();
  send(ours, 1);
  send(another, 2);
  const int descriptor = ours.descriptor().value();
  Channel given = adopt_channel(*application, descriptor, {}).value();
  close(descriptor);
  EXPECT_EQ(received(given), 1);
}

TEST_F(SharedMemoryService, GivesWhatTheConfigurationHasAndNothingElse) {
  const Result<Channel> refused = open_channel(*plugin, "anonymous:other", kOfInts);
  EXPECT_EQ(refused.status().code(), BP_PERMISSION_DENIED);
  EXPECT_EQ(refused.status().message(),
            "the configuration of 'it' does not have the key 'anonymous:other' of shared memory");
  EXPECT_EQ(open_memory(*plugin, "posix:/other", {.size = 1}).status().code(),
            BP_PERMISSION_DENIED);
  EXPECT_TRUE(open_channel(*application, "anonymous:other", kOfInts).status().is_ok())
      << "the application may all";
  EXPECT_TRUE(open_channel(*plugin, "anonymous:fr%61mes", kOfInts).status().is_ok())
      << "another text of the same key";
}

TEST_F(SharedMemoryService, BadArgumentsAreToldAsByTheFunctionsOfC) {
  EXPECT_EQ(open_channel(*plugin, "frames", kOfInts).status().code(), BP_INVALID_ARGUMENT);
  EXPECT_EQ(open_channel(*plugin, "anonymous:frames", {}).status().code(), BP_INVALID_ARGUMENT)
      << "no size, and there is none";
  EXPECT_EQ(open_channel(*plugin, "anonymous:frames", {.which = Which::kExisting}).status().code(),
            BP_NOT_FOUND)
      << "what failed has made nothing";
  Channel channel = open_channel(*plugin, "anonymous:frames", kOfInts).value();
  EXPECT_EQ(open_channel(*plugin, "anonymous:frames", {.sample_size = 5}).status().code(),
            BP_OUT_OF_RANGE);
  EXPECT_EQ(adopt_memory(*plugin, -1, {}).status().code(), BP_INVALID_ARGUMENT);
}

TEST_F(SharedMemoryService, GivesADescriptorForAnotherProcess) {
  const bp_shared_memory_service& service = *bp_shared_memory();
  const bp_memory_options options{sizeof options, BP_MEMORY_ANY, 100, 0, 0};
  bp_error error{};
  int32_t first = -1;
  int32_t second = -1;
  const auto share = [&](bp_str key, int32_t& out) {
    return service.share_memory(script.host, key, &options, &out, &error);
  };
  ASSERT_EQ(share(BP_STR("anonymous:frames"), first), BP_OK);
  ASSERT_EQ(share(BP_STR("anonymous:frames"), second), BP_OK);
  SharedMemory one = adopt_memory(*plugin, first, {}).value();
  SharedMemory other = open_memory(*application, "anonymous:frames", {.size = 100}).value();
  one.as<int>() = 7;
  EXPECT_EQ(other.as<int>(), 7);
  close(first);
  close(second);
  EXPECT_EQ(share(BP_STR("anonymous:other"), first), BP_PERMISSION_DENIED);
  EXPECT_EQ(first, -1);
  const std::string posix = posix_key();
  EXPECT_EQ(share({posix.data(), posix.size()}, first), BP_UNIMPLEMENTED);
}

TEST_F(SharedMemoryService, WhatHasANameHasNoOneWriter) {
  EXPECT_EQ(
      open_memory(*plugin, "anonymous:frames", {.size = 100, .one_writer = true}).status().code(),
      BP_INVALID_ARGUMENT);
  EXPECT_TRUE(open_memory(*plugin, "", {.size = 100, .one_writer = true}).status().is_ok());
}

TEST(SharedMemoryKeys, OfAConfigurationAreLookedAt) {
  const auto mistake = [](const std::string& key) {
    Script script;
    try {
      const ScriptedKernel kernel("[instances.it]\nplugin = \"scripted\"\nshared = [\"" + key +
                                  "\"]\n");
    } catch (const std::runtime_error& error) {
      return std::string(error.what());
    }
    return std::string("none");
  };
  EXPECT_EQ(mistake("anonymous:frames"), "none");
  EXPECT_THAT(mistake("frames"), HasSubstr("test:3:11: error: 'frames' is no key of shared memory, "
                                           "such as 'anonymous:frames': "));
  EXPECT_THAT(mistake("windows:frames"), HasSubstr("shared memory has no keys of this type here"));
}

TEST(SharedMemoryWithoutTheService, IsUnimplemented) {
  Script script;
  ScriptedKernel kernel(
      "[instances.it]\nplugin = \"scripted\"\nallow.services = [\"bp.endpoint/1\"]\n"
      "shared = [\"anonymous:frames\"]\n");
  ASSERT_EQ(kernel.start(), BP_OK);
  const Host host(script.host);
  EXPECT_EQ(open_channel(host, "anonymous:frames", kOfInts).status().code(), BP_UNIMPLEMENTED);
}

}  // namespace
}  // namespace backplane::test
