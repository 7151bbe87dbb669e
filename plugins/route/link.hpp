// SPDX-License-Identifier: Apache-2.0
// Link: an address that is kept open. What fails is tried again after a growing wait, until
// close(). Of one that stands for several only the waits are here; who uses it opens them.
#pragma once

#include "core.hpp"
#include <backplane/sdk/operation.hpp>
#include <backplane/sdk/reconnect.hpp>
#include <backplane/sdk/unique_op.hpp>

namespace backplane::route {

/// Inside the turn only, but for its own callbacks.
class Link {
 public:
  /// `on_ready` is called each time it has become ready, perhaps inside open(). `has_reference`:
  /// the address can be opened.
  Link(Core& core, std::string address, std::chrono::nanoseconds retry_max,
       std::function<void()> on_ready, bool has_reference = true);
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() { drop_reference(); }

  /// Begins, on the loop. No-op after the first.
  void open();
  /// It is open, and no wait is under way.
  bool is_ready() const noexcept { return state_ == State::kReady; }
  bp_ref ref() const noexcept { return ref_; }

  /// What was done with it worked.
  void succeeded();
  /// What was done with it failed for the time being: it is not ready until the wait is over.
  /// `reopen`: its reference is of no use any more.
  void failed(const Status& why, bool reopen);
  /// Nothing worked since it was opened: a reference that does not work then is not a stale one.
  bool is_unproven() const noexcept { return is_unproven_; }

  /// For good.
  void close();
  /// Nothing of it is under way.
  bool is_idle() const noexcept { return state_ != State::kOpening; }
  /// Gives back its operation; nothing is called any more.
  void release() noexcept { op_.reset(); }

  const std::string& address() const noexcept { return address_; }
  /// Not open, or what was done last failed.
  bool is_in_trouble() const noexcept { return !is_ready() || trouble_code_ != BP_OK; }
  bp_status trouble_code() const noexcept { return trouble_code_; }
  /// For people: what is wrong, and when it is tried again.
  const std::string& trouble() const noexcept { return trouble_; }

 private:
  enum class State : uint8_t { kNew, kWaiting, kOpening, kReady, kClosed };

  void attempt();
  void opened(bp_status status);
  void drop_reference() noexcept;

  Core& core_;
  const std::string address_;
  const std::function<void()> on_ready_;
  const bool has_reference_;
  State state_ = State::kNew;
  bool is_closing_ = false;
  bool is_unproven_ = true;
  bool is_attempt_ = false;  // nothing worked since the last wait
  bp_ref ref_ = 0;
  bp_status trouble_code_ = BP_OK;
  std::string trouble_;
  UniqueOp op_;
  Reconnect reconnect_;
};

}  // namespace backplane::route
