// SPDX-License-Identifier: Apache-2.0
// A server of open62541 in a process of its own, and a kernel with one opcua instance, `plant`.
#pragma once

#include "backplane/sdk/guarded.hpp"
#include "backplane/sdk/kernel.hpp"
#include "support/child_process.hpp"
#include "support/eventually.hpp"
#include "support/free_port.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

namespace backplane::test {

using namespace std::chrono_literals;
constexpr std::chrono::seconds kPatience{20};

/// May be ended and started again on its port.
class OpcuaServer {
 public:
  explicit OpcuaServer(int references = 0) : references_(references) { start(); }
  void start() {
    child_.emplace(std::vector<std::string>{BP_TEST_BUILD_DIR "/tests/bp_opcua_server",
                                            std::to_string(port_), std::to_string(references_)});
  }
  /// As a power cut does.
  void kill() {
    child_->signal(SIGKILL);
    child_->wait();
  }
  /// Its process stays, and does nothing, until it goes on.
  void freeze() const { child_->signal(SIGSTOP); }
  void go_on() const { child_->signal(SIGCONT); }
  uint16_t port() const { return port_; }

 private:
  const int references_;
  const uint16_t port_ = free_port_base();
  std::optional<ChildProcess> child_;
};

/// A running system.
class OpcuaSystem {
 public:
  /// `config`: more keys of the instance, in TOML.
  explicit OpcuaSystem(uint16_t port, const std::string& config = {}) : kernel_(make()) {
    kernel_
        .load_text(
            "test.toml",
            concat("[instances.plant]\nplugin = \"opcua\"\nurl = \"opc.tcp://127.0.0.1:", port,
                   "\"\npublishing_s = 0.01\n", config, "\n"),
            [](const Diagnostic& found) { ADD_FAILURE() << found.line << ": " << found.message; })
        .or_throw();
    kernel_.start().or_throw();
  }
  Kernel& kernel() { return kernel_; }
  Endpoint open(const std::string& path) { return kernel_.open("plant:" + path).value(); }
  InstanceInfo info() const {
    for (InstanceInfo& each : kernel_.instances()) {
      if (each.name == "plant") {
        return each;
      }
    }
    throw std::runtime_error("no instance");
  }
  /// Waits until it is connected.
  OpcuaSystem& connected() {
    EXPECT_TRUE(becomes(BP_STATE_UP)) << info().detail;
    return *this;
  }
  bool becomes(uint32_t state, std::chrono::milliseconds at_most = kPatience) const {
    return eventually([&] { return info().state == state; }, at_most);
  }

 private:
  static Kernel make() {
    KernelOptions options;
    options.plugin_folders = BP_TEST_BUILD_DIR "/plugins";
    options.manifest_folders = BP_TEST_BUILD_DIR "/plugin_manifests";
    options.flags = BP_KERNEL_CHECKED;
    const bool is_verbose = std::getenv("BP_TEST_VERBOSE") != nullptr;
    options.log_level = is_verbose ? BP_LOG_DEBUG : BP_LOG_WARNING;
    options.log = [](const LogRecord& record) {
      std::string line = concat(record.instance, ": ", record.message);
      for (const bp_pair& field : record.fields) {
        line += concat(" ", ValueView(field.key).to_text(), "=", ValueView(field.val).to_text());
      }
      std::fprintf(stderr, "%s\n", line.c_str());
    };
    return Kernel::create(std::move(options)).value();
  }
  Kernel kernel_;
};

/// What a watch has been told.
class Told {
 public:
  struct Entry {
    std::optional<double> number;
    bool is_initial;
    std::optional<uint32_t> status;
    bool has_times;
  };
  void operator()(MessageView message) {
    seen_->lock()->push_back(
        {message.body().get<double>(), message.is_initial(), message.header<uint32_t>(BP_H_STATUS),
         message.time().has_value() && message.header(BP_H_SERVER_TIME).has_value()});
  }
  std::vector<Entry> all() const { return seen_->copy(); }
  bool has(double number) const {
    return eventually(
        [&] {
          const auto seen = all();
          return std::any_of(seen.begin(), seen.end(),
                             [&](const Entry& each) { return each.number == number; });
        },
        kPatience);
  }

 private:
  std::shared_ptr<Guarded<std::vector<Entry>>> seen_ =
      std::make_shared<Guarded<std::vector<Entry>>>();
};

class Opcua : public testing::Test {
 protected:
  static constexpr auto kTemperature = "ns=1;s=Line1.Temperature";
  Opcua() { system_.connected(); }
  OpcuaServer server_;
  OpcuaSystem system_{server_.port()};
};

}  // namespace backplane::test
