// SPDX-License-Identifier: Apache-2.0
// The mqtt plugin: one instance is one broker.
#include "handles.hpp"
#include "topic_endpoint.hpp"

#include <atomic>

namespace backplane::mqtt {
namespace {

/// How the two connections are doing, as one state. Loop thread.
class Condition {
 public:
  explicit Condition(const Host& host) : host_(host) {}
  void publishing(uint32_t state, const std::string& detail) {
    main_ = {state, detail};
    report();
  }
  void watching(uint32_t state, const std::string& detail) {
    inbox_ = {state, detail};
    report();
  }

 private:
  struct Part {
    uint32_t state = BP_STATE_IDLE;
    std::string detail;
  };
  void report() const {
    const bool inbox_is_well = inbox_.state == BP_STATE_UP || inbox_.state == BP_STATE_IDLE;
    if (main_.state == BP_STATE_UP && !inbox_is_well) {
      host_.report(BP_STATE_DEGRADED, concat("acknowledged watches: ", inbox_.detail));
    } else {
      host_.report(main_.state, main_.detail);
    }
  }
  const Host& host_;
  Part main_;
  Part inbox_;
};

class MqttPlugin final : public Plugin {
 public:
  MqttPlugin(const bp_host* raw, const Config& config)
      : Plugin(raw),
        settings_(config, host().system(), host().instance()),
        condition_(host()),
        instance_(
            host(), settings_,
            [this](uint32_t state, const std::string& detail) {
              condition_.publishing(state, detail);
            },
            [this](uint32_t state, const std::string& detail) {
              condition_.watching(state, detail);
            }) {}

  Status start(Op) override {
    return post(host(), [this] { instance_.client.start(); });
  }

  Status drain(Op op) override {
    draining_ = op;
    const Status posted =
        post(host(), [this] { instance_.client.drain([this] { drained(Status::ok()); }); });
    return posted.is_ok() ? Status::pending() : posted;
  }

  Status stop(Op op) override {
    const Status posted = post(host(), [this, op] {
      drained(Status(BP_CANCELLED));
      instance_.client.stop([this, op] {
        instance_.reader.stop();
        instance_.browser.stop();
        instance_.inbox.stop([this, op] { host().complete(op, Status::ok()); });
      });
    });
    return posted.is_ok() ? Status::pending() : posted;
  }

  Status open(std::string_view path, MessageView, OpenOp op) override {
    const auto verbs = TopicEndpoint::verbs_of_path(path);
    if (!verbs) {
      return verbs.status();
    }
    return op.give(std::make_unique<TopicEndpoint>(instance_, std::string(path)), *verbs);
  }

  /// The deadline of a drain: what has not been acknowledged by now ends with the stop.
  void cancel(Op op) noexcept override {
    if (static_cast<bp_op*>(op) == draining_.load()) {
      drained(Status(BP_CANCELLED));
    }
  }

 private:
  void drained(const Status& status) noexcept {
    if (bp_op* const op = draining_.exchange(nullptr)) {
      host().complete(op, status);
    }
  }

  const LibraryUse library_;
  const Settings settings_;
  Condition condition_;
  std::atomic<bp_op*> draining_{nullptr};
  Instance instance_;
};

}  // namespace
}  // namespace backplane::mqtt

BACKPLANE_PLUGIN(backplane::mqtt::MqttPlugin, "mqtt", "0.1.0",
                 BP_PLUGIN_MULTI_INSTANCE | BP_PLUGIN_OWN_THREADS, BP_S_ENDPOINT, BP_S_EXECUTOR);
