// SPDX-License-Identifier: Apache-2.0
// The whole way: Kernel and Endpoint over libbackplane, with the plugin of
// sdk/examples/counter_plugin.
#include "backplane/sdk/kernel.hpp"

#include "backplane/sdk/guarded.hpp"
#include "backplane/sdk/task.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>

namespace backplane {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kManifest = R"(
[system]
name = "test"
[instances.tally]
plugin = "counter"
counters = [{ name = "apples", start = 3 }, { name = "pears" }]
)";

class AKernel : public ::testing::Test {
 protected:
  static KernelOptions options() {
    KernelOptions out;
    out.plugin_folders = BP_TEST_EXAMPLES_DIR;
    out.manifest_folders = BP_TEST_EXAMPLES_DIR;
    out.flags = BP_KERNEL_CHECKED;
    return out;
  }
  void run() {
    sut_.load_text("test.toml", kManifest).or_throw();
    sut_.start().or_throw();
  }
  Kernel sut_ = Kernel::create(options()).value();
};

Task<int64_t> count_twice(const Endpoint& counter) {
  co_await counter.call<int64_t>();
  co_return co_await counter.call<int64_t>().within(5s);
}

TEST_F(AKernel, KnowsItsPluginsBeforeTheyAreMapped) {
  const auto plugins = sut_.plugins();
  ASSERT_EQ(plugins.size(), 1u);
  EXPECT_EQ(plugins[0].id, "counter");
  EXPECT_FALSE(plugins[0].loaded);
  EXPECT_EQ(Kernel::version(), "0.1.0");
}

TEST_F(AKernel, ReportsEveryMistakeOfAManifest) {
  std::vector<Diagnostic> found;
  const Status status = sut_.load_text(
      "test.toml",
      "[instances.tally]\nplugin = \"counter\"\ncounters = [{ nam = \"x\" }]\nextra = 1\n",
      [&](const Diagnostic& diagnostic) { found.push_back(diagnostic); });
  EXPECT_EQ(status.code(), BP_INVALID_ARGUMENT);
  ASSERT_GE(found.size(), 2u);
  EXPECT_EQ(found[0].file, "test.toml");
  EXPECT_EQ(found[0].line, 3u);
  EXPECT_TRUE(sut_.instances().empty());
}

TEST_F(AKernel, ReadsWritesAndCalls) {
  run();
  const Endpoint apples = sut_.open("tally:apples").value();
  EXPECT_EQ(apples.read<int64_t>().value(), 3);
  apples.write(10).or_throw();
  EXPECT_EQ(apples.call<int>().value(), 11);
  EXPECT_EQ(apples.write("many").get().code(), BP_INVALID_ARGUMENT);
  EXPECT_EQ(sync_wait(sut_.host(), count_twice(apples)), 13);
}

TEST_F(AKernel, SaysWhyAnAddressDoesNotOpen) {
  run();
  EXPECT_EQ(sut_.open("tally:plums").get().status().message(),
            "no counter 'plums': declare it in [[instances.tally.counters]]");
  EXPECT_EQ(sut_.open("taly:apples").get().status().code(), BP_NOT_FOUND);
}

TEST_F(AKernel, WatchesFromTheFirstValueOn) {
  run();
  const Endpoint apples = sut_.open("tally:apples").value();
  std::vector<int64_t> seen;
  {
    const auto changes =
        apples.watch([&](MessageView message) { seen.push_back(message.as<int64_t>().value()); });
    changes.or_throw();
    for (int i = 0; i < 3; ++i) apples.call().or_throw();
  }
  apples.call().or_throw();
  EXPECT_EQ(seen, (std::vector<int64_t>{3, 4, 5, 6}));
}

TEST_F(AKernel, SaysWhichExceptionEndedAWatch) {
  run();
  const Endpoint apples = sut_.open("tally:apples").value();
  const auto watch = apples.watch([](MessageView) -> void { throw Error(BP_ABORTED, "enough"); });
  watch.or_throw();
  const auto outcome = watch->wait_for(20s);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->code(), BP_ABORTED);
  EXPECT_EQ(outcome->message(), "enough");
}

TEST(AKernelsLog, HasTheExceptionOfACallbackThatNobodyWaitsFor) {
  Guarded<std::vector<std::string>> logged;
  KernelOptions options;
  options.log = [&](const LogRecord& record) {
    for (const bp_pair& field : record.fields) {
      logged.lock()->push_back(concat(record.message, ": ", ValueView(field.val).to_text()));
    }
  };
  Kernel sut = Kernel::create(std::move(options)).value();
  sut.start().or_throw();
  sut.open("nothing://there/x").then([](const Result<Endpoint>&) {
    throw std::runtime_error("of mine");
  });
  sut.stop().or_throw();
  EXPECT_THAT(logged.copy(),
              ::testing::Contains(::testing::AllOf(::testing::HasSubstr("a callback failed"),
                                                   ::testing::HasSubstr("of mine"))));
}

TEST(AnEmptyHandle, IsRefusedByName) {
  const Endpoint endpoint;
  try {
    static_cast<void>(endpoint.read<double>().get());
    FAIL() << "taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.status().code(), BP_FAILED_PRECONDITION);
    EXPECT_EQ(error.status().message(), "this endpoint was never opened");
  }
  const Subscription subscription;
  subscription.cancel();
  EXPECT_FALSE(subscription.outcome());
  EXPECT_FALSE(subscription.wait_for(0s));
}

TEST_F(AKernel, EndsAWatchWhenItStops) {
  run();
  const Endpoint apples = sut_.open("tally:apples").value();
  const auto changes = apples.watch([](MessageView) {});
  changes.or_throw();
  sut_.stop().or_throw();
  const auto outcome = changes->wait_for(10s);
  ASSERT_TRUE(outcome);
  EXPECT_TRUE(outcome->is_error()) << outcome->to_string();
}

TEST_F(AKernel, KeepsWhatIsOpenWhenItDrains) {
  run();
  const Endpoint apples = sut_.open("tally:apples").value();
  sut_.drain().or_throw();
  EXPECT_EQ(apples.read<int64_t>().value(), 3);
  EXPECT_EQ(sut_.open("tally:pears").get().status().code(), BP_UNAVAILABLE);
  EXPECT_EQ(sut_.instances()[0].life, BP_LIFE_DRAINING);
  sut_.stop().or_throw();
  EXPECT_TRUE(apples.read<int64_t>().get().status().is_error());
}

TEST_F(AKernel, TellsHowItsInstancesAre) {
  run();
  const Endpoint apples = sut_.open("tally:apples").value();
  apples.call().or_throw();
  const auto instances = sut_.instances();
  ASSERT_EQ(instances.size(), 1u);
  EXPECT_EQ(instances[0].name, "tally");
  EXPECT_EQ(instances[0].life, BP_LIFE_STARTED);
  EXPECT_EQ(instances[0].state, BP_STATE_UP);
  EXPECT_EQ(instances[0].detail, "2 counters");
  EXPECT_EQ(instances[0].operations, 1u);
  EXPECT_EQ(instances[0].open_references, 1u);
  bool dropped = false;
  for (const MetricInfo& metric : sut_.metrics())
    dropped = dropped || metric.name == "messages_dropped_total";
  EXPECT_TRUE(dropped);
}

TEST_F(AKernel, LogsToAFunction) {
  std::mutex mutex;
  std::vector<std::string> lines;
  KernelOptions logging = options();
  logging.log = [&](const LogRecord& record) {
    const std::lock_guard lock(mutex);
    lines.emplace_back(record.message);
  };
  Kernel kernel = Kernel::create(logging).value();
  kernel.host().log().info("hello", {{"n", 1}});
  const std::lock_guard lock(mutex);
  EXPECT_NE(std::find(lines.begin(), lines.end(), "hello"), lines.end());
}

TEST_F(AKernel, ServesNothingOnAnEndpointThatCannot) {
  run();
  const Endpoint apples = sut_.open("tally:apples").value();
  const auto registration =
      apples.serve([](ServedOp request) -> Status { return request.reply(1); });
  EXPECT_EQ(registration.status().code(), BP_UNIMPLEMENTED);
}

TEST_F(AKernel, EndsAnOperationForWhichNoTimeIsLeft) {
  run();
  const Endpoint apples = sut_.open("tally:apples").value();
  EXPECT_EQ(apples.read<int64_t>().within(0s).get().status().code(), BP_DEADLINE_EXCEEDED);
  EXPECT_EQ(apples.read<int64_t>().within(-1s).get().status().code(), BP_DEADLINE_EXCEEDED);
  EXPECT_EQ(apples.read<int64_t>().within(std::chrono::nanoseconds::max()).value(), 3);
  EXPECT_EQ(apples.read<int64_t>().within(std::nullopt).value(), 3);
}

TEST_F(AKernel, RunsTasksOnItsLoop) {
  sut_.start().or_throw();  // without a manifest
  std::mutex mutex;
  std::condition_variable changed;
  bool ran = false;
  EXPECT_FALSE(on_loop(sut_.host()));
  post(sut_.host(), [&] {
    const std::lock_guard lock(mutex);
    ran = on_loop(sut_.host());
    changed.notify_one();
  }).or_throw();
  std::unique_lock lock(mutex);
  EXPECT_TRUE(changed.wait_for(lock, 10s, [&] { return ran; }));
}

}  // namespace
}  // namespace backplane
