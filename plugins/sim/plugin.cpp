// SPDX-License-Identifier: Apache-2.0
// sim: drives writable addresses with simulated signals.
#include "driver.hpp"
#include <backplane/sdk/plugin.hpp>

namespace backplane::sim {
namespace {

/// What a path of the instance opens: a signal's last value, and its sequence.
class SignalEndpoint final {
 public:
  explicit SignalEndpoint(Driver& driver) : driver_(driver), hub_(driver.hub()) {}
  Status read(Op op) {
    const auto value = driver_.last();
    return value ? op.reply(ValueView(*value))
                 : Status(BP_UNAVAILABLE, "signal '", driver_.name(), "' has no value yet");
  }
  Status watch(Op op) { return hub_.watch(op); }
  void cancel(Op op) noexcept { hub_.cancel(op); }
  void credit(Op op, uint32_t n) noexcept { hub_.credit(op, n); }
  void ack(Op op, uint64_t seq, bp_status status) noexcept { hub_.ack(op, seq, status); }

 private:
  Driver& driver_;
  Hub hub_;
};

class SimPlugin final : public Plugin {
 public:
  SimPlugin(const bp_host* raw, const Config& config) : Plugin(raw) {
    for (const Config& table : config.tables("signals")) {
      const SignalOptions options = read_options(table);
      if (find(options.name) != nullptr) {
        throw Error(BP_INVALID_ARGUMENT, "two signals are named '", options.name,
                    "': give one another 'name'");
      }
      drivers_.push_back(
          std::make_unique<Driver>(host(), in_flight_, options, [this] { report(); }));
    }
  }

  Status start(Op) override {
    host().report(BP_STATE_CONNECTING, "first values");
    for (const auto& driver : drivers_) {
      driver->start();
    }
    return Status::ok();
  }

  Status drain(Op op) override {
    post(host(), [this, op] {
      for (const auto& driver : drivers_) {
        driver->drain();
      }
      in_flight_.stop([&host = host(), op] { host.complete(op, Status::ok()); });
    }).or_throw();
    return Status::pending();
  }

  /// The deadline of a drain has passed.
  void cancel(Op) noexcept override {
    static_cast<void>(post(host(), [this] { stop_drivers(); }));
  }

  Status stop(Op op) override {
    // Each part that must end holds the instance: watchers of ours, operations of ours, the task.
    for (const auto& driver : drivers_) {
      in_flight_.hold();
      driver->hub().stop(Status(BP_UNAVAILABLE, "the simulator stops"),
                         [this] { in_flight_.end(); });
    }
    in_flight_.hold();
    post(host(), [this] {
      stop_drivers();
      in_flight_.end();
    }).or_throw();
    in_flight_.stop([&host = host(), op] { host.complete(op, Status::ok()); });
    return Status::pending();
  }

  Status open(std::string_view path, MessageView, OpenOp op) override {
    if (Driver* driver = find(path)) {
      return op.give(std::make_unique<SignalEndpoint>(*driver));
    }
    std::string known;
    for (const auto& driver : drivers_) {
      known += concat(known.empty() ? "" : ", ", driver->name());
    }
    return Status(BP_NOT_FOUND, "no signal '", path, "'; there are: ", known);
  }

 private:
  void stop_drivers() {
    for (const auto& driver : drivers_) {
      driver->stop();
    }
  }

  Driver* find(std::string_view name) {
    for (const auto& driver : drivers_) {
      if (driver->name() == name) {
        return driver.get();
      }
    }
    return nullptr;
  }

  /// UP: every target takes its values; DEGRADED: some do; CONNECTING: none, the next tick tries.
  void report() {
    if (in_flight_.stopping()) {
      return;
    }
    size_t good = 0;
    Status failure;
    for (const auto& driver : drivers_) {
      const Status status = driver->status();
      good += status.is_ok() ? 1 : 0;
      failure = status.is_error() ? status : failure;
    }
    if (good == drivers_.size()) {
      host().report(BP_STATE_UP, concat(good, " signals"));
    } else if (failure.is_error()) {
      host().report(good > 0 ? BP_STATE_DEGRADED : BP_STATE_CONNECTING,
                    concat(failure.to_string(), "; the next tick tries again"));
    }
  }

  InFlight in_flight_;
  std::vector<std::unique_ptr<Driver>> drivers_;
};

}  // namespace
}  // namespace backplane::sim

BACKPLANE_PLUGIN(backplane::sim::SimPlugin, "sim", "0.1.0", BP_PLUGIN_MULTI_INSTANCE, BP_S_ENDPOINT,
                 BP_S_EXECUTOR);
