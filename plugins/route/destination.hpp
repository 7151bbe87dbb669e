// SPDX-License-Identifier: Apache-2.0
// One destination of a route: its queue, its steps, its window of operations, its retries.
//
// Design notes. The window holds deliveries in the order of the messages. One message at a time is
// in its steps; then it is sent while others before it pend. A delivery leaves the window at its
// front alone. When one fails for the time being nothing more is sent; when nothing pends and the
// wait is over, that one and all behind it are sent again: so the last thing that a destination saw
// is the newest. What is done without a callback is done in the loop of advance(), never by
// recursion. An address with a placeholder stands for one a path, each opened by the first delivery
// to it, while nothing else is sent: order and retries are those of all of them together.
#pragma once

#include "codec.hpp"
#include "dead_letter.hpp"
#include "queue.hpp"

namespace backplane::route {

/// Inside the turn only.
class Destination {
 public:
  /// `dead_letter` may be null. `done` is told when an item has left it, and whether its message is
  /// taken care of.
  Destination(Core& core, const RouteOptions& route, const DestinationOptions& options,
              DeadLetter* dead_letter, std::function<void(Item&, bool is_accepted)> done);
  Destination(const Destination&) = delete;
  Destination& operator=(const Destination&) = delete;

  void open() { link_.open(); }
  /// A message comes; `done` may be called for it inside.
  void offer(Item& item);
  /// A message comes that cannot be kept: it is counted, and dropped.
  void refuse(Reason reason) noexcept;
  /// The dead letter has it, or not: then `why` not.
  void buried(Delivery& delivery, const Status& why);
  /// At the end of each turn: what has expired goes, metrics are shown.
  void end_turn();

  /// What waits is dropped, what pends is cancelled.
  void stop();
  /// Nothing of it is under way any more, after stop(); close() then closes its references.
  bool is_at_rest() const noexcept { return window_.empty() && codec_.is_idle() && pending_ == 0; }
  void close();
  bool is_closed() const noexcept { return link_.is_idle() && codec_.is_idle(); }
  /// When closed: gives back its operations.
  void release() noexcept;

  const Tally& tally() const noexcept { return tally_; }
  const Queue& queue() const noexcept { return queue_; }
  const DestinationOptions& options() const noexcept { return options_; }
  /// What it waits for that is not there; null: nothing.
  const Link* missing() const noexcept;
  /// How many messages it holds: what in_flight must be.
  size_t held() const noexcept;

 private:
  using State = Delivery::State;

  void advance();
  bool can_take();
  bool can_send() const noexcept {
    return link_.is_ready() && !resend_ && !is_opening_ && !is_stopping_;
  }
  /// There is a free one, if need be a new one.
  bool has_delivery();
  void add_delivery();
  Delivery& new_delivery(Item& item);
  void operation_completed(Delivery& delivery);
  void retire();
  void resend();

  // The steps of a delivery, each of which ends it or goes on to the next.
  void prepare(Delivery& delivery);
  void use_value(Delivery& delivery, ValueView value);
  void encode(Delivery& delivery, ValueView value);
  void ready(Delivery& delivery);
  void call_codec(Delivery& delivery, Codec::Direction direction, uint16_t format, ValueView value);
  void codec_answered(Delivery& delivery, Codec::Direction direction, Result<OwnedMessage> result);

  // Where a delivery goes.
  Status find_target(Delivery& delivery);
  std::string_view address(const Delivery& delivery) const noexcept;
  void open_target(Delivery& delivery);
  void opened(Delivery& delivery, bp_status status);

  /// Now, or with those before it that wait.
  void send_in_turn(Delivery& delivery);
  void send(Delivery& delivery);
  void completed(Delivery& delivery, bp_status status);
  void fail(Delivery& delivery, Reason reason, const Status& why);
  void settle(Delivery& delivery, Reason reason, bool is_accepted = true);
  void drop(Item& item, Reason reason, bool is_accepted = true);
  void expire();
  int64_t expires_ns(const Item& item) const noexcept;
  bool is_expired(const Item& item) const noexcept;

  Core& core_;
  const RouteOptions& route_;
  const DestinationOptions& options_;
  DeadLetter* const dead_letter_;
  const std::function<void(Item&, bool)> done_;

  Tally tally_;
  TallyMetrics metrics_;
  Queue queue_;
  Deadband deadband_;
  std::vector<std::unique_ptr<Delivery>> deliveries_;  // all there are
  std::vector<Delivery*> free_;
  boost::circular_buffer<Delivery*> window_;
  size_t pending_ = 0;       // operations of deliveries, dead letters excluded
  bool preparing_ = false;   // the last of the window is with a codec
  bool resend_ = false;      // there is a kRetry or a kReady in the window
  bool is_opening_ = false;  // there is a kOpening in the window: nothing overtakes it
  bool is_advancing_ = false;
  bool is_stopping_ = false;
  Codec codec_;
  Link link_;
  std::optional<Targets> targets_;  // of an address with a placeholder
};

}  // namespace backplane::route
