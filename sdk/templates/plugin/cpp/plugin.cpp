// my_plugin: one value that is read, written and watched.
#include <backplane/sdk/hub.hpp>
#include <backplane/sdk/plugin.hpp>

#include <atomic>

namespace {

/// The value; the instance and all endpoints share it.
struct SharedValue {
  SharedValue(const backplane::Host& host, double initial)
      : now(initial), changes(host, {.replay_last = true, .on_ready = {}}) {
    changes.publish(backplane::MessageBuilder(initial).time_now());
  }
  std::atomic<double> now;
  backplane::Hub changes;  // to those who watch
};

/// Its verbs are the functions that it has; they are called from any thread and never wait.
class EndpointOfValue {
 public:
  explicit EndpointOfValue(std::shared_ptr<SharedValue> value) : value_(std::move(value)) {}

  backplane::Status read(backplane::Op op) { return op.reply(value_->now.load()); }

  backplane::Status write(backplane::Op op) {
    const double value = op.in().as<double>().value();  // no number: INVALID_ARGUMENT
    value_->now = value;
    value_->changes.publish(backplane::MessageBuilder(value).time_now());
    return backplane::Status::ok();
  }

  backplane::Status watch(backplane::Op op) { return value_->changes.watch(op); }
  void credit(backplane::Op op, uint32_t n) noexcept { value_->changes.credit(op, n); }
  void cancel(backplane::Op op) noexcept { value_->changes.cancel(op); }

 private:
  std::shared_ptr<SharedValue> value_;
};

class MyPluginInstance final : public backplane::Plugin {
 public:
  MyPluginInstance(const bp_host* host, const backplane::Config& config)
      : Plugin(host),
        value_(std::make_shared<SharedValue>(this->host(), config.number("initial"))) {}

  backplane::Status start(backplane::Op) override {
    host().report(BP_STATE_UP, "ready");
    return backplane::Status::ok();
  }

  backplane::Status stop(backplane::Op) override {
    value_->changes.stop(backplane::Status(BP_UNAVAILABLE, "the instance stops"));
    return backplane::Status::ok();
  }

  backplane::Status open(std::string_view path, backplane::MessageView,
                         backplane::OpenOp op) override {
    if (path != "value") {
      return backplane::Status(BP_NOT_FOUND, "no '", path, "' here: there is 'value'");
    }
    return op.give(std::make_unique<EndpointOfValue>(value_));
  }

 private:
  std::shared_ptr<SharedValue> value_;
};

}  // namespace

BACKPLANE_PLUGIN(MyPluginInstance, "my_plugin", "0.1.0", BP_PLUGIN_MULTI_INSTANCE, BP_S_ENDPOINT,
                 BP_S_EXECUTOR);
