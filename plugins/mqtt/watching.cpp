// SPDX-License-Identifier: Apache-2.0
#include "watching.hpp"

#include "client.hpp"
#include "inbox.hpp"

namespace backplane::mqtt {

class Watching::Watch final : public Listener, public std::enable_shared_from_this<Watch> {
 public:
  Watch(const Host& host, HubOptions options, std::function<void(const Listener*)> forget,
        std::weak_ptr<Watches> watches)
      : hub_(host, std::move(options)), forget_(std::move(forget)), watches_(std::move(watches)) {}

  Hub& hub() noexcept { return hub_; }

  void on_message(const Inbound& message, Hub::Settled settled) override {
    const auto self = shared_from_this();
    hub_.publish(message.message, std::move(settled));
    end_if_unwatched();
  }
  void on_refused(const Status& status) override {
    const auto self = shared_from_this();
    hub_.stop(status);
    end_if_unwatched();
  }
  /// The hub says nothing when its consumer ends the stream: whoever might have been the last to
  /// see it asks.
  void end_if_unwatched() {
    if (hub_.watchers() > 0 || has_ended_.exchange(true)) {
      return;
    }
    if (const auto guarded = watches_.lock()) {
      const auto watches = guarded->lock();
      std::erase_if(*watches, [this](const auto& entry) { return entry.second.get() == this; });
    }
    forget_(this);
  }

 private:
  Hub hub_;
  const std::function<void(const Listener*)> forget_;
  const std::weak_ptr<Watches> watches_;
  std::atomic<bool> has_ended_{false};
};

Watching::Watching(const Host& host, const Settings& settings, Client& client, Inbox& inbox,
                   std::string filter)
    : host_(host),
      settings_(settings),
      client_(client),
      inbox_(inbox),
      filter_(std::move(filter)),
      watches_(std::make_shared<Watches>()) {}

Status Watching::watch(Op op) {
  const uint8_t qos = qos_of(op.in(), settings_.qos);
  const bool with_ack = op.wants_ack();
  HubOptions options;
  std::function<void(const Listener*)> forget;
  if (with_ack) {
    // The window bounds what waits: nothing is dropped.
    options.queue_messages = std::max<size_t>(options.queue_messages, settings_.receive_maximum);
    options.queue_bytes = SIZE_MAX;
    forget = [&inbox = inbox_](const Listener* listener) { inbox.forget(listener); };
  } else {
    forget = [&client = client_](const Listener* listener) { client.forget(listener); };
  }
  const auto watch =
      std::make_shared<Watch>(host_, std::move(options), std::move(forget), watches_);
  watches_->lock()->insert_or_assign(op, watch);
  Status status = watch->hub().watch(op);
  if (status.is_pending()) {
    const Status listening =
        with_ack ? inbox_.listen(filter_, qos, watch) : client_.listen(filter_, qos, watch);
    if (listening.is_error()) {
      watch->on_refused(listening);  // completes the operation
    } else {
      watch->end_if_unwatched();  // cancelled meanwhile
    }
  } else {
    watches_->lock()->erase(op);
  }
  return status;
}

std::shared_ptr<Watching::Watch> Watching::find(Op op) noexcept {
  auto watches = watches_->lock();
  const auto at = watches->find(op);
  return at == watches->end() ? nullptr : at->second;
}

void Watching::cancel(Op op) noexcept {
  if (const auto watch = find(op)) {
    watch->hub().cancel(op);
    watch->end_if_unwatched();
  }
}

void Watching::credit(Op op, uint32_t n) noexcept {
  if (const auto watch = find(op)) {
    watch->hub().credit(op, n);
  }
}

void Watching::ack(Op op, uint64_t seq, bp_status status) noexcept {
  if (const auto watch = find(op)) {
    watch->hub().ack(op, seq, status);
    watch->end_if_unwatched();
  }
}

}  // namespace backplane::mqtt
