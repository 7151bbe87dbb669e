// SPDX-License-Identifier: Apache-2.0
// A kernel with isolated instances, and what it has left in the system.
#pragma once

#include "backplane/sdk/kernel.hpp"
#include "support/eventually.hpp"
#include "support/processes.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <dirent.h>
#include <mutex>
#include <optional>
#include <set>

namespace backplane::test {

using namespace std::chrono_literals;

inline size_t descriptors() {
  size_t count = 0;
  DIR* const folder = opendir("/proc/self/fd");
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

class IsolatedInstances : public testing::Test {
 protected:
  ~IsolatedInstances() override {
    kernel_.reset();
    EXPECT_FALSE(logged("Sanitizer")) << log();
    EXPECT_EQ(children(), children_before_) << "a process was left";
    EXPECT_EQ(descriptors(), descriptors_before_) << "a descriptor was left";
  }

  Status start(std::string_view manifest) {
    KernelOptions options;
    options.plugin_folders =
        BP_TEST_BUILD_DIR "/plugins:" BP_TEST_BUILD_DIR "/tests/crashing_plugin";
    options.manifest_folders =
        BP_TEST_BUILD_DIR "/plugin_manifests:" BP_TEST_BUILD_DIR "/tests/crashing_plugin";
    options.flags = BP_KERNEL_CHECKED;
    options.log = [this](const LogRecord& record) {
      const std::lock_guard lock(mutex_);
      log_.push_back(concat(record.instance, ": ", record.message));
    };
    kernel_.emplace(Kernel::create(options).value());
    kernel_->load_text("test", manifest).or_throw();
    return kernel_->start();
  }
  /// One instance, `it`, with more keys.
  Status start_it(std::string_view keys = {}) {
    return start(concat("[instances.it]\nplugin = \"crashing\"\nisolation = \"process\"\n", keys));
  }
  Endpoint open(std::string_view path) { return kernel_->open(path).value(); }
  /// The number of the process that runs an instance; 0 while none does.
  pid_t process(const Endpoint& of) {
    return static_cast<pid_t>(of.read<int64_t>().within(10s).get().value_or(0));
  }
  size_t times_logged(std::string_view text) {
    const std::lock_guard lock(mutex_);
    return static_cast<size_t>(std::count_if(log_.begin(), log_.end(), [text](const auto& line) {
      return line.find(text) != std::string::npos;
    }));
  }
  bool logged(std::string_view text) { return times_logged(text) != 0; }
  std::string log() {
    const std::lock_guard lock(mutex_);
    std::string all;
    for (const std::string& line : log_) all += line + "\n";
    return all;
  }
  InstanceInfo info(std::string_view name = "it") {
    for (const InstanceInfo& each : kernel_->instances()) {
      if (each.name == name) return each;
    }
    return {};
  }

  std::mutex mutex_;
  std::vector<std::string> log_;  // guarded by mutex_
  std::optional<Kernel> kernel_;

 private:
  const std::set<pid_t> children_before_ = children();
  const size_t descriptors_before_ = descriptors();
};

}  // namespace backplane::test
