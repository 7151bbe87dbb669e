// SPDX-License-Identifier: Apache-2.0
// A kernel with one mqtt instance, `cloud`, and what waits for things to happen.
#pragma once

#include "backplane/sdk/guarded.hpp"
#include "backplane/sdk/kernel.hpp"
#include "support/broker.hpp"
#include "support/eventually.hpp"
#include "support/long_test.hpp"
#include "support/mqtt_peer.hpp"

#include <gtest/gtest.h>

#include <optional>

namespace backplane::test {

using namespace std::chrono_literals;
constexpr std::chrono::seconds kPatience{20};

inline std::string version_name(const testing::TestParamInfo<int>& tested) {
  return "Version" + std::to_string(tested.param);
}

/// A running system.
class MqttSystem {
 public:
  /// `config`: more keys of the instance, in TOML. `credentials`: tables of the system manifest.
  MqttSystem(const std::string& url, const std::string& config = {},
             const std::string& credentials = {})
      : kernel_(make(*logged_)) {
    const std::string manifest = "[system]\nname = \"test\"\n" + credentials +
                                 "\n[instances.cloud]\nplugin = \"mqtt\"\nurl = \"" + url +
                                 "\"\nreconnect_min_s = 0.01\nreconnect_max_s = 0.1\n" + config +
                                 "\n";
    kernel_
        .load_text("test.toml", manifest,
                   [](const Diagnostic& found) {
                     if (found.message.find("cannot be read now") == std::string::npos) {
                       ADD_FAILURE() << found.line << ": " << found.message;
                     }
                   })
        .or_throw();
    kernel_.start().or_throw();
  }
  /// Started, and connected to the broker.
  static std::unique_ptr<MqttSystem> connected(const std::string& url,
                                               const std::string& config = {},
                                               const std::string& credentials = {}) {
    auto system = std::make_unique<MqttSystem>(url, config, credentials);
    EXPECT_TRUE(system->becomes(BP_STATE_UP)) << system->info().detail;
    return system;
  }

  Kernel& kernel() { return kernel_; }
  Endpoint open(const std::string& path) { return kernel_.open("cloud:" + path).value(); }
  InstanceInfo info() const {
    for (InstanceInfo& each : kernel_.instances()) {
      if (each.name == "cloud") {
        return each;
      }
    }
    throw std::runtime_error("no instance");
  }
  bool becomes(uint32_t state, std::chrono::milliseconds at_most = kPatience) const {
    return eventually([&] { return info().state == state; }, at_most);
  }
  /// The warnings and errors so far, with their fields.
  std::string logged() const { return logged_->copy(); }
  int64_t metric(const std::string& name, const std::string& reason = {}) const {
    int64_t sum = 0;
    for (const MetricInfo& each : kernel_.metrics()) {
      const bool fits = reason.empty() ||
                        std::find(each.labels.begin(), each.labels.end(),
                                  std::pair(std::string("reason"), reason)) != each.labels.end();
      sum += each.name == name && fits ? each.value : 0;
    }
    return sum;
  }

 private:
  static Kernel make(Guarded<std::string>& logged) {
    KernelOptions options;
    options.plugin_folders = BP_TEST_BUILD_DIR "/plugins";
    options.manifest_folders = BP_TEST_BUILD_DIR "/plugin_manifests";
    options.flags = BP_KERNEL_CHECKED;
    const bool is_verbose = std::getenv("BP_TEST_VERBOSE") != nullptr;
    options.log_level = is_verbose ? BP_LOG_DEBUG : BP_LOG_WARNING;
    options.log = [&logged, is_verbose](const LogRecord& record) {
      std::string line = concat(record.instance, ": ", record.message);
      for (const bp_pair& field : record.fields) {
        line += concat(" ", ValueView(field.key).to_text(), "=", ValueView(field.val).to_text());
      }
      if (is_verbose || record.level <= BP_LOG_ERROR) {
        std::fprintf(stderr, "%s\n", line.c_str());
      }
      if (record.level <= BP_LOG_WARNING) {
        logged.lock()->append(line + "\n");
      }
    };
    return Kernel::create(std::move(options)).value();
  }
  // The kernel logs to its end.
  const std::unique_ptr<Guarded<std::string>> logged_ = std::make_unique<Guarded<std::string>>();
  Kernel kernel_;
};

/// What a watch has received.
class Seen {
 public:
  struct Entry {
    std::string topic, body;
    uint8_t tag = 0;
    uint64_t seq = 0;
    bool initial = false, redelivered = false;
    std::optional<uint32_t> qos;
    std::string unit, content_type;
  };

  void add(MessageView message) {
    const auto payload = message.body().payload();
    Entry entry;
    entry.topic = message.header<std::string>(BP_H_PATH).value_or("");
    entry.body = payload
                     ? std::string(reinterpret_cast<const char*>(payload->data()), payload->size())
                     : message.body().to_text();
    entry.tag = message.body().tag;
    entry.seq = message.seq();
    entry.initial = message.is_initial();
    entry.redelivered = message.is_redelivered();
    entry.qos = message.header<uint32_t>(BP_H_QOS);
    entry.unit = message.header<std::string>("unit").value_or("");
    entry.content_type = message.header<std::string>(BP_H_CONTENT_TYPE).value_or("");
    const std::lock_guard lock(mutex_);
    entries_.push_back(std::move(entry));
  }
  std::vector<Entry> all() {
    const std::lock_guard lock(mutex_);
    return entries_;
  }
  size_t size() { return all().size(); }
  std::vector<Entry> wait_for(size_t n) {
    EXPECT_TRUE(eventually([&] { return size() >= n; }))
        << "expected " << n << " messages, got " << size();
    return all();
  }

 private:
  std::mutex mutex_;
  std::vector<Entry> entries_;
};

/// A watch that keeps what it gets.
inline Subscription watch(const Endpoint& endpoint, Seen& seen, Pairs headers = {}) {
  WatchOptions options;
  options.headers = to_span(headers);
  return std::move(endpoint.watch([&seen](MessageView message) { seen.add(message); }, options))
      .value();
}

}  // namespace backplane::test
