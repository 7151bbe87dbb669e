// SPDX-License-Identifier: Apache-2.0
// A server of open62541 in a process of its own, and a kernel with one opcua instance, `plant`.
#pragma once

#include "backplane/sdk/guarded.hpp"
#include "backplane/sdk/kernel.hpp"
#include "backplane/sdk/unique_handle.hpp"
#include "support/child_process.hpp"
#include "support/eventually.hpp"
#include "support/free_port.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>

namespace backplane::test {

using namespace std::chrono_literals;
constexpr std::chrono::seconds kPatience{20};

/// May be ended and started again on its port.
class OpcuaServer {
 public:
  using Options =
      std::vector<std::string>;  // "references=12", "urn:plant"; see opcua_server/security.h
  explicit OpcuaServer(Options options = {}) : options_(std::move(options)) { start(); }
  /// It takes connections then.
  void start() {
    Options all{BP_TEST_BUILD_DIR "/tests/bp_opcua_server", std::to_string(port_)};
    all.insert(all.end(), options_.begin(), options_.end());
    child_.emplace(std::move(all));
    if (std::find(options_.begin(), options_.end(), "ipv6=1") == options_.end()) {
      EXPECT_TRUE(eventually([&] { return accepts(); }, kPatience));
    }
  }
  /// From its next start on.
  void become(Options options) { options_ = std::move(options); }
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
  bool accepts() const {
    const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }

  Options options_;
  const uint16_t port_ = free_port_base();
  std::optional<ChildProcess> child_;
};

/// What was logged. [any]
class Lines {
 public:
  void add(std::string line) { lines_.lock()->push_back(std::move(line)); }
  ptrdiff_t with(std::string_view text) const {
    const auto lines = lines_.lock();
    return std::count_if(lines->begin(), lines->end(), [text](const std::string& line) {
      return line.find(text) != std::string::npos;
    });
  }

 private:
  mutable Guarded<std::vector<std::string>> lines_;
};

/// One that has the plugins of this build. `lines` outlives it.
inline Kernel opcua_kernel(Lines* lines = nullptr) {
  KernelOptions options;
  options.plugin_folders = BP_TEST_BUILD_DIR "/plugins";
  options.manifest_folders = BP_TEST_BUILD_DIR "/plugin_manifests";
  options.flags = BP_KERNEL_CHECKED;
  const bool is_verbose = std::getenv("BP_TEST_VERBOSE") != nullptr;
  options.log_level = is_verbose ? BP_LOG_DEBUG : BP_LOG_WARNING;
  options.log = [lines](const LogRecord& record) {
    std::string line = concat(record.instance, ": ", record.message);
    for (const bp_pair& field : record.fields) {
      line += concat(" ", ValueView(field.key).to_text(), "=", ValueView(field.val).to_text());
    }
    std::fprintf(stderr, "%s\n", line.c_str());
    if (lines != nullptr) {
      lines->add(line);
    }
    EXPECT_EQ(line.find("but left"), std::string::npos) << line;
  };
  return Kernel::create(std::move(options)).value();
}

inline InstanceInfo info_of(const Kernel& kernel, std::string_view instance) {
  for (InstanceInfo& each : kernel.instances()) {
    if (each.name == instance) {
      return each;
    }
  }
  throw std::runtime_error("no instance");
}
/// The binary form of Types.Point, {1, 2}.
inline const std::string kPointBytes("\0\0\0\0\0\0\xF0\x3F\0\0\0\0\0\0\0\x40", 16);
/// With which a server ends a connection: BadTcpInternalError, without a text (part 6, 7.1.2.5).
inline const std::string kErrorMessage("ERRF\x10\0\0\0\0\0\x82\x80\xFF\xFF\xFF\xFF", 16);

/// Of one instance; -1: it has none of that name.
inline int64_t metric_of(const Kernel& kernel, std::string_view instance, std::string_view name) {
  for (const MetricInfo& each : kernel.metrics()) {
    if (each.name == name && each.instance == instance) {
      return static_cast<int64_t>(each.value);
    }
  }
  return -1;
}

/// A running system.
class OpcuaSystem {
 public:
  /// `config`: more keys of the instance, in TOML; `more`: more tables.
  explicit OpcuaSystem(uint16_t port, const std::string& config = {},
                       const std::string& host = "127.0.0.1", const std::string& more = {})
      : kernel_(opcua_kernel()) {
    kernel_
        .load_text(
            "test.toml",
            concat("[instances.plant]\nplugin = \"opcua\"\nurl = \"opc.tcp://", host, ":", port,
                   "\"\npublishing_s = 0.01\n", config, "\n", more),
            [](const Diagnostic& found) { ADD_FAILURE() << found.line << ": " << found.message; })
        .or_throw();
    kernel_.start().or_throw();
  }
  Kernel& kernel() { return kernel_; }
  Endpoint open(const std::string& path) { return kernel_.open("plant:" + path).value(); }
  int64_t metric(const std::string& name) const {
    int64_t sum = 0;
    for (const MetricInfo& each : kernel_.metrics()) {
      sum += each.name == name ? each.value : 0;
    }
    return sum;
  }
  /// How often a session that was up has ended.
  int64_t losses() const { return metric("connections_lost_total"); }
  InstanceInfo info() const { return info_of(kernel_, "plant"); }
  /// Waits until it is connected.
  OpcuaSystem& connected() {
    EXPECT_TRUE(becomes(BP_STATE_UP)) << info().detail;
    return *this;
  }
  bool becomes(uint32_t state, std::chrono::milliseconds at_most = kPatience) const {
    return eventually([&] { return info().state == state; }, at_most);
  }

 private:
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
  std::vector<double> numbers() const {
    std::vector<double> out;
    for (const Entry& each : all()) {
      out.push_back(each.number.value_or(NAN));
    }
    return out;
  }
  /// So many messages, within the usual time.
  bool reaches(size_t n) const {
    return eventually([&] { return seen_->lock()->size() >= n; }, kPatience);
  }
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

constexpr auto kTemperature = "ns=1;s=Line1.Temperature";

class Opcua : public testing::Test {
 protected:
  Opcua() { system_.connected(); }
  OpcuaServer server_;
  OpcuaSystem system_{server_.port()};
};

/// A request that is under way.
class Asking {
 public:
  Status end() const {
    EXPECT_TRUE(eventually([&] { return ended_->copy().has_value(); }, kPatience));
    return ended_->copy().value_or(Status());
  }

 protected:
  const std::shared_ptr<Guarded<std::optional<Status>>> ended_ =
      std::make_shared<Guarded<std::optional<Status>>>();
};

class Writing : public Asking {
 public:
  Writing(const Endpoint& node, double value) {
    node.write(value).then(
        [ended = ended_](const Status& status) { ended->lock()->emplace(status); });
  }
};

class Reading : public Asking {
 public:
  explicit Reading(const Endpoint& node) {
    node.read().then([ended = ended_](const Result<OwnedMessage>& read) {
      ended->lock()->emplace(read ? Status::ok() : read.status());
    });
  }
};

/// Watches, and what becomes of it. `Teller` is told, and says what it was.
template <class Teller>
class WatchedBy {
 public:
  WatchedBy(const Endpoint& node, ValueView options = {}, WatchOptions watching = {}) {
    std::vector<bp_pair> headers(watching.headers.begin(), watching.headers.end());
    if (!options.is_null()) {
      headers.push_back(Pair(BP_H_OPTIONS, options));
    }
    watching.headers = headers;
    watching.on_end = [ended = ended_](const Status& status) { ended->lock()->emplace(status); };
    auto begun = node.watch(told, std::move(watching));
    if (begun) {
      subscription_.emplace(*std::move(begun));
    } else {
      ended_->lock()->emplace(begun.status());
    }
  }
  WatchedBy(Endpoint&& node, ValueView options = {}, WatchOptions watching = {})
      : WatchedBy(std::as_const(node), options, std::move(watching)) {
    node_ = std::move(node);
  }
  bool has_ended() const { return ended_->copy().has_value(); }
  /// Why it has ended, or was refused.
  Status end() const {
    EXPECT_TRUE(eventually([&] { return has_ended(); }, kPatience));
    return ended_->copy().value_or(Status());
  }
  void credit(uint32_t n) { subscription_->credit(n); }
  void cancel() { subscription_.reset(); }
  const Teller told;

 private:
  const std::shared_ptr<Guarded<std::optional<Status>>> ended_ =
      std::make_shared<Guarded<std::optional<Status>>>();
  Endpoint node_;  // where it is nobody else's
  std::optional<Subscription> subscription_;
};
using Watched = WatchedBy<Told>;

/// A browse whose credit the test grants.
class Look {
 public:
  Look(const Kernel& kernel, const Endpoint& node, uint32_t credit)
      : op_(std::make_shared<detail::LongOp>(
            kernel.host(), OwnedMessage(), [this](MessageView) { return ++entries, Status::ok(); },
            [this](const Status& status) { ended_.lock()->emplace(status); })) {
    EXPECT_TRUE(op_->start(BP_V_BROWSE, 0, node.ref(), credit).is_ok());
  }
  ~Look() { op_->close(); }
  detail::LongOp& op() { return *op_; }
  bool reaches(int n) {
    return eventually([&] { return entries == n; }, kPatience);
  }
  std::optional<Status> end() {
    eventually([&] { return ended_.copy().has_value(); }, kPatience);
    return ended_.copy();
  }
  std::atomic<int> entries{0};

 private:
  Guarded<std::optional<Status>> ended_;
  const std::shared_ptr<detail::LongOp> op_;
};

}  // namespace backplane::test
