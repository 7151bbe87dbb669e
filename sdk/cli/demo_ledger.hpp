// SPDX-License-Identifier: Apache-2.0
// Whether every value that entered a route came out at the other end: the source's values against
// those that a subscriber received.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace backplane::cli {

/// Of one source and one destination that carry the same values in the same order, nearly: repeated
/// deliveries and values overtaken by others are no losses. Bounded; not thread-safe.
class Ledger {
 public:
  static constexpr size_t kMostOutstanding = 10'000;
  static constexpr size_t kMostEarly = 8;

  void sent(std::string value) {
    if (const auto found = std::find(early_.begin(), early_.end(), value); found != early_.end()) {
      early_.erase(found);
      return;
    }
    outstanding_.push_back(std::move(value));
    if (outstanding_.size() > kMostOutstanding) {
      outstanding_.pop_front();
      ++given_up_;
    }
  }

  void received(std::string_view value) {
    const auto found = std::find(outstanding_.begin(), outstanding_.end(), value);
    if (found != outstanding_.end()) {
      outstanding_.erase(found);
      return;
    }
    early_.emplace_back(value);
    if (early_.size() > kMostEarly) {
      early_.pop_front();
    }
  }

  /// What was sent so far need not be received. What was received may be told as sent later.
  void forget_sent() {
    outstanding_.clear();
    given_up_ = 0;
  }

  /// Sent and not received, or not yet.
  uint64_t missing() const { return outstanding_.size() + given_up_; }
  /// The oldest of them, for a message; empty when there is none.
  std::string_view first_missing() const {
    return outstanding_.empty() ? std::string_view{} : outstanding_.front();
  }

 private:
  std::deque<std::string> outstanding_;
  // Received before it was told that they were sent: another thread told it. Or received twice.
  std::deque<std::string> early_;
  uint64_t given_up_ = 0;
};

}  // namespace backplane::cli
