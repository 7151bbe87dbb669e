// SPDX-License-Identifier: Apache-2.0
// The dead letter's address: where what cannot be delivered is written to, with what it was and
// why.
#pragma once

#include "delivery.hpp"
#include "link.hpp"
#include "options.hpp"

#include <deque>

namespace backplane::route {

/// What a record tells.
struct DeadLetterRecord {
  std::string_view route;
  Reason reason;
  std::string_view error;
  Time time;
  std::string_view from;
  std::string_view path;  // the concrete one of a wildcard; may be empty
  std::string_view to;
  ValueView payload;
};
/// As JSON. A payload of text or bytes is `text` or `base64`, any other value stands there as
/// `json`.
std::string to_json(const DeadLetterRecord& record);

/// Writes one record a delivery, in the order in which they came; waits for its destination for
/// ever.
class DeadLetter {
 public:
  /// `finished` is told of each buried delivery: whether it is stored; if not, why.
  DeadLetter(Core& core, const RouteOptions& options,
             std::function<void(Delivery&, const Status&)> finished);

  void open() { link_.open(); }
  /// Takes a delivery whose operation is at rest, until `finished`, which may be called inside.
  void bury(Delivery& delivery, std::string_view to, Reason reason, std::string_view error);
  /// Its operation has completed.
  void completed(Delivery& delivery, bp_status status);
  /// What waits is given back (`finished` with CANCELLED), what pends is cancelled.
  void stop();
  void close() { link_.close(); }
  /// When closed: gives back its operation.
  void release() noexcept { link_.release(); }
  const Link& link() const noexcept { return link_; }

 private:
  void flush();
  void send(Delivery& delivery);

  Core& core_;
  const RouteOptions& options_;
  const std::function<void(Delivery&, const Status&)> finished_;
  std::deque<Delivery*> waiting_;
  std::vector<Delivery*> sent_;
  bool is_stopping_ = false;
  Link link_;
};

}  // namespace backplane::route
