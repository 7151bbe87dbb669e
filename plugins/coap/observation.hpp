// SPDX-License-Identifier: Apache-2.0
// A peer's resource that is watched (RFC 7641): one registration, however many watchers. Its hub is
// for any thread, all else for the loop thread.
//
// Design notes. A restarted peer forgets its observers and tells nobody. So the registration is
// sent again, with the same token, whenever nothing has come for `keepalive_s` or the value's
// Max-Age; an unchanged answer to that is not a message. Once registered, an error or an answer
// without the Observe option means that the peer has ended it, perhaps because it restarts: it is
// tried again with back-off. Before the first success these end the watch.
#pragma once

#include "exchange.hpp"
#include <backplane/sdk/hub.hpp>

namespace backplane::coap {

class Observation final : public Receiver {
 public:
  Observation(Client& client, std::shared_ptr<const Target> target);

  Hub& hub() noexcept { return hub_; }
  const Target& target() const noexcept { return *target_; }
  /// Somebody is about to watch. [any]
  void pin() noexcept { ++pins_; }
  void unpin() noexcept { --pins_; }
  /// [any]
  bool is_unwatched() const noexcept { return pins_ == 0 && hub_.watchers() == 0; }
  /// Registers unless it is registered.
  void begin();
  /// Deregisters for good when nobody watches any more.
  void end_if_unwatched();
  /// Every watch completes with `status`; it never begins again. is_stopped: any thread.
  void stop(const Status& status, std::function<void()> stopped);
  bool is_stopped() const noexcept { return stopped_; }

  /// The peer lets nobody in by our credentials: before it ever worked that is the watch's answer.
  void refused(const Status& status);

  void response(const coap_pdu_t* pdu) override;
  void lost(const Status& status) override;
  void resend() override;

 private:
  class Rest;
  enum class State { kIdle, kRegistering, kRegistered, kWaiting };

  void send_registration();
  void deregister();
  void ended(const Status& status);
  bool is_newer(uint32_t number) const noexcept;
  void value(const coap_pdu_t* pdu, Bytes body);
  void refresh_after(const coap_pdu_t* pdu);
  void timer_fired();

  Client& client_;
  const std::shared_ptr<const Target> target_;
  Hub hub_;
  Timer timer_;  // to register again
  State state_ = State::kIdle;
  std::atomic<bool> stopped_{false};
  std::atomic<int> pins_{0};
  bool was_registered_ = false;
  bool is_refresh_ = false;  // the answer that is due is only the keep-alive's
  bool has_value_ = false;
  uint32_t number_ = 0;  // of the Observe option
  int64_t heard_ns_ = 0;
  size_t last_hash_ = 0;
  unsigned failures_ = 0;
  std::shared_ptr<Rest> rest_;  // fetches the later blocks of a notification
};

}  // namespace backplane::coap
