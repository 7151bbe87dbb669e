// SPDX-License-Identifier: Apache-2.0
// A simulated signal on a real CoAP resource, through the kernel.
#include "backplane/sdk/kernel.hpp"

#include <gmock/gmock.h>

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace backplane::test {
namespace {

using Clock = std::chrono::steady_clock;

/// What a watch has shown, with the time at which it came.
class Seen {
 public:
  void add(MessageView message) {
    const std::lock_guard lock(mutex_);
    values_.emplace_back(Clock::now(), message.as<double>().value());
    changed_.notify_all();
  }
  /// The first value after `from` for which `wanted` holds.
  template <class Wanted>
  std::optional<std::pair<Clock::time_point, double>> wait_for(size_t from, Wanted&& wanted) {
    std::unique_lock lock(mutex_);
    std::optional<std::pair<Clock::time_point, double>> found;
    changed_.wait_for(lock, std::chrono::seconds(20), [&] {
      for (size_t i = from; i < values_.size() && !found; ++i) {
        if (wanted(values_[i].second)) {
          found = values_[i];
        }
      }
      return found.has_value();
    });
    return found;
  }
  size_t size() {
    const std::lock_guard lock(mutex_);
    return values_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::pair<Clock::time_point, double>> values_;
};

class ASimulatedResource : public testing::Test {
 protected:
  ASimulatedResource() {
    KernelOptions options;
    options.plugin_folders = BP_TEST_BUILD_DIR "/plugins";
    options.manifest_folders = BP_TEST_BUILD_DIR "/plugin_manifests";
    options.flags = BP_KERNEL_CHECKED;
    options.log = [](const LogRecord&) {};
    kernel_.emplace(Kernel::create(options).value());
    kernel_
        ->load_text("test", R"(
[instances.signals]
plugin = "sim"
[[instances.signals.signals]]
to = "sensors:/t"
shape = "ramp"
max = 1000
period_s = 100
interval_ms = 20
hold_s = 0.5
[instances.sensors]
plugin = "coap"
listen = "coap://127.0.0.1:0"
resources = [{ path = "/t", initial = -1.0 }]
)")
        .or_throw();
    kernel_->start().or_throw();
  }
  std::optional<Kernel> kernel_;
};

TEST_F(ASimulatedResource, ChangesAndIsReadAlsoAtTheSignalItself) {
  const Endpoint resource = kernel_->open("sensors:/t").value();
  const Endpoint signal = kernel_->open("signals:t").value();
  Seen seen;
  const Subscription changes =
      resource.watch([&](MessageView message) { seen.add(message); }).value();
  EXPECT_TRUE(seen.wait_for(0, [](double value) { return value >= 1; }));
  EXPECT_GE(signal.read<double>().value(), 1.0);
}

TEST_F(ASimulatedResource, HoldsAnOutsideValueThenGoesOnFromThere) {
  const Endpoint resource = kernel_->open("sensors:/t").value();
  Seen seen;
  const Subscription changes =
      resource.watch([&](MessageView message) { seen.add(message); }).value();
  ASSERT_TRUE(seen.wait_for(0, [](double value) { return value > 0; }));
  const size_t before = seen.size();
  resource.write(500.0).or_throw();
  const auto outside = seen.wait_for(before, [](double value) { return value == 500; });
  ASSERT_TRUE(outside);
  const auto next = seen.wait_for(before, [](double value) { return value > 500; });
  ASSERT_TRUE(next);
  EXPECT_GE(next->first - outside->first, std::chrono::milliseconds(450));
  EXPECT_NEAR(next->second, 500.2, 0.01);
}

}  // namespace
}  // namespace backplane::test
