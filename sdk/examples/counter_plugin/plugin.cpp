// SPDX-License-Identifier: Apache-2.0
// A whole plugin: counters by name that are read, written, called to count, and watched.
#include <backplane/sdk/guarded.hpp>
#include <backplane/sdk/hub.hpp>
#include <backplane/sdk/plugin.hpp>

#include <map>

namespace backplane::counter {
namespace {

/// One named counter; all its endpoints share it.
class Counter {
 public:
  Counter(const Host& host, int64_t start) : changes(host, {.replay_last = true, .on_ready = {}}) {
    set([start](int64_t) { return start; });
  }
  int64_t value() { return value_.copy(); }
  int64_t set(const std::function<int64_t(int64_t)>& change) {
    int64_t now = 0;
    {
      auto value = value_.lock();
      now = *value = change(*value);
    }
    changes.publish(MessageBuilder(now).time_now());
    return now;
  }
  Hub changes;

 private:
  Guarded<int64_t> value_{0};
};

/// Its verbs are the member functions it has.
class CounterEndpoint final {
 public:
  explicit CounterEndpoint(std::shared_ptr<Counter> counter) : counter_(std::move(counter)) {}
  Status read(Op op) { return op.reply(counter_->value()); }
  Status write(Op op) {
    const auto value = op.in().as<int64_t>().value();
    counter_->set([value](int64_t) { return value; });
    return Status::ok();
  }
  Status call(Op op) {
    return op.reply(counter_->set([](int64_t value) { return value + 1; }));
  }
  Status watch(Op op) { return counter_->changes.watch(op); }
  void cancel(Op op) noexcept { counter_->changes.cancel(op); }
  void credit(Op op, uint32_t n) noexcept { counter_->changes.credit(op, n); }

 private:
  std::shared_ptr<Counter> counter_;
};

class CounterPlugin final : public Plugin {
 public:
  CounterPlugin(const bp_host* raw, const Config& config) : Plugin(raw) {
    for (const Config& counter : config.tables("counters")) {
      counters_[counter.string("name")] =
          std::make_shared<Counter>(host(), counter.integer("start"));
    }
  }
  Status start(Op) override {
    host().report(BP_STATE_UP, concat(counters_.size(), " counters"));
    return Status::ok();
  }
  Status stop(Op) override {
    for (const auto& [name, counter] : counters_)
      counter->changes.stop(Status(BP_UNAVAILABLE, "the instance stops"));
    return Status::ok();
  }
  Status open(std::string_view path, MessageView, OpenOp op) override {
    const auto found = counters_.find(path);
    if (found == counters_.end()) {
      return Status(BP_NOT_FOUND, "no counter '", path, "': declare it in [[instances.",
                    host().instance(), ".counters]]");
    }
    return op.give(std::make_unique<CounterEndpoint>(found->second));
  }

 private:
  std::map<std::string, std::shared_ptr<Counter>, std::less<>>
      counters_;  // constant after construction
};

}  // namespace
}  // namespace backplane::counter

BACKPLANE_PLUGIN(backplane::counter::CounterPlugin, "counter", "0.1.0", BP_PLUGIN_MULTI_INSTANCE,
                 BP_S_ENDPOINT, BP_S_EXECUTOR);
