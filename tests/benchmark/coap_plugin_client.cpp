// SPDX-License-Identifier: Apache-2.0
// The plugin as a client, in a kernel of this process. The next operation starts on the loop, where
// the last one ended: as a route's does.
#include "coap_client.hpp"
#include "plugin_kernel.hpp"
#include <backplane/sdk/loop.hpp>

#include <future>
#include <optional>

namespace backplane::benchmark {
namespace {

class PluginCoapClient final : public CoapClient {
 public:
  PluginCoapClient(std::uint16_t port, std::uint16_t nstart)
      : kernel_(started_kernel(concat("[instances.client]\nplugin = \"coap\"\nnstart = ", nstart,
                                      "\nurl = \"coap://127.0.0.1:", port, "\"\n"))),
        slots_(nstart) {
    for (Slot& slot : slots_) {
      slot.op = service().op_new(host());
      slot.op->user = this;
      slot.op->done = [](bp_op* op) { static_cast<PluginCoapClient*>(op->user)->ended(op); };
      slot.op->scratch = slot.scratch;
      slot.op->scratch_len = sizeof slot.scratch;
    }
  }
  ~PluginCoapClient() override {
    for (const Slot& slot : slots_) service().op_free(host(), slot.op);
  }

  void observe() override {
    begin({"value", "", kCoapValue.size(), false}, 1, nullptr);
    watched_ = kernel_.open("client:/value").value();
    wait_for([this] {
      take();
      watch_ =
          watched_.watch([this](MessageView message) { on_part(true, message.raw().body.len); })
              .value();
    });
  }

  void run(const CoapWork& work, std::size_t operations, std::size_t outstanding,
           std::vector<std::int64_t>* latencies) override {
    const Endpoint target = kernel_.open("client:/" + work.path).value();
    in_.time_ns = BP_TIME_NONE;
    in_.body = ValueView(work.payload);
    for (Slot& slot : slots_) {
      slot.op->verb = work.payload.empty() ? BP_V_READ : BP_V_WRITE;
      slot.op->target = target.ref();
      slot.op->in = work.payload.empty() ? nullptr : &in_;
    }
    wait_for([&] {
      begin(work, operations, latencies);
      for (std::size_t i = 0; i < outstanding && take(); ++i) submit(slots_[i].op);
    });
  }

 private:
  struct Slot {
    bp_op* op = nullptr;
    alignas(16) std::uint8_t scratch[256];
  };

  const bp_host* host() const noexcept { return kernel_.host().raw(); }
  const bp_endpoint_service& service() const noexcept { return kernel_.host().services().endpoint; }

  // Runs `start` on the loop and waits until all operations are over.
  void wait_for(const std::function<void()>& start) {
    std::promise<void> over;
    over_ = &over;
    const auto begin_there = [&] {
      try {
        start();
      } catch (...) {
        std::exchange(over_, nullptr)->set_exception(std::current_exception());
      }
    };
    post(kernel_.host(), begin_there).or_throw();
    over.get_future().get();
    check();
  }

  void submit(bp_op* op) {
    if (service().submit(host(), op) != BP_PENDING) fail("an operation did not start");
  }
  void ended(bp_op* op) {
    if (op->status != BP_OK) fail("an operation failed");
    const std::size_t size = op->verb == BP_V_READ ? op->out.body.len : 0;
    if (bp_buffer* const owner = std::exchange(op->out.owner, nullptr)) owner->ops->release(owner);
    current_ = op;
    on_part(false, size);
  }
  void on_part(bool is_notification, std::size_t size) {
    if (part(is_notification, size) && take()) submit(current_);
    if (is_over() && over_ != nullptr) std::exchange(over_, nullptr)->set_value();
  }

  Kernel kernel_;
  std::vector<Slot> slots_;
  bp_message in_{};
  Endpoint watched_;
  std::optional<Subscription> watch_;
  // On the loop.
  bp_op* current_ = nullptr;  // the last that ended
  std::promise<void>* over_ = nullptr;
};

}  // namespace

std::shared_ptr<CoapClient> plugin_coap_client(std::uint16_t port, std::uint16_t nstart) {
  return std::make_shared<PluginCoapClient>(port, nstart);
}

}  // namespace backplane::benchmark
