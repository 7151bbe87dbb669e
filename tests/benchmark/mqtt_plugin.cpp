// SPDX-License-Identifier: Apache-2.0
// The plugin `mqtt` through the kernel: writes by the C API with operations that are kept, as a
// plugin would; a watch by the SDK.
#include "backplane/sdk/kernel.hpp"
#include "mqtt_side.hpp"
#include "plugin_kernel.hpp"

#include <semaphore>
#include <stdexcept>

namespace backplane::benchmark {
namespace {

class Plugin final : public MqttSide {
 public:
  explicit Plugin(const MqttOptions& options)
      : payload_(options.payload, 'x'),
        message_(ValueView::bytes(payload_.data(), payload_.size())),
        kernel_(started_kernel(
            concat("[instances.broker]\nplugin = \"mqtt\"\nurl = \"mqtt://127.0.0.1:", options.port,
                   "\"\nqos = ", options.qos, "\nkeep_alive_s = ", kMqttKeepAliveSeconds, "\n"))),
        topic_(kernel_.open("broker:bench/plugin").value()) {
    topic_.write("connected", {{BP_H_QOS, 1}}).within(std::chrono::seconds(20)).or_throw();
    if (options.subscribes) {
      subscription_ = topic_.watch([this](MessageView) { go_on(&MqttWork::received); }).value();
    }
    for (unsigned i = 0; i < options.outstanding; ++i) {
      bp_op* const op = service().op_new(kernel_.host().raw());
      op->verb = BP_V_WRITE;
      op->target = topic_.ref();
      op->in = &message_.view().raw();
      op->user = this;
      op->done = [](bp_op* ended) {
        auto& self = *static_cast<Plugin*>(ended->user);
        self.free_.push_back(ended);
        ended->status == BP_OK ? self.go_on(&MqttWork::published) : self.fail(ended->status);
      };
      free_.push_back(op);
    }
  }
  ~Plugin() override {
    for (bp_op* const op : free_) service().op_free(kernel_.host().raw(), op);
  }

  void run(MqttWork& work) override {
    work_ = &work;
    post(kernel_.host(), [this] { go_on(&MqttWork::begin); }).or_throw();
    if (!over_.try_acquire_for(std::chrono::seconds(kMqttPatienceSeconds))) {
      post(kernel_.host(), [this] { end(); }).or_throw();  // nobody uses the work after this
      over_.acquire();
      throw std::runtime_error("mqtt: the plugin's work does not end");
    }
    if (failure_ != BP_OK)
      throw std::runtime_error(concat("mqtt: a write failed with status ", failure_));
  }

  void publish() override {
    bp_op* const op = free_.back();
    free_.pop_back();
    const bp_status status = service().submit(kernel_.host().raw(), op);
    if (status == BP_PENDING) return;
    free_.push_back(op);
    if (status < 0) fail(status);
  }

 private:
  const bp_endpoint_service& service() const { return kernel_.host().services().endpoint; }

  void go_on(void (MqttWork::*event)()) {
    if (work_ == nullptr) return;
    (work_->*event)();
    if (work_->is_over()) end();
  }
  void fail(bp_status status) {
    failure_ = status;
    end();
  }
  void end() {
    work_ = nullptr;
    over_.release();
  }

  // Before the kernel: operations that are under way at its end are completed by it.
  const std::string payload_;
  const OwnedMessage message_;
  MqttWork* work_ = nullptr;  // on the loop, while it is under way, like what follows
  std::vector<bp_op*> free_;
  bp_status failure_ = BP_OK;
  std::counting_semaphore<> over_{0};

  Kernel kernel_;
  Endpoint topic_;
  Subscription subscription_;
};

}  // namespace

std::unique_ptr<MqttSide> mqtt_plugin(const MqttOptions& options) {
  return std::make_unique<Plugin>(options);
}

}  // namespace backplane::benchmark
