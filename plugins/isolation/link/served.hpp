// SPDX-License-Identifier: Apache-2.0
// Served: one operation that this side does for the other one.
#pragma once

#include "plugins/isolation/link/peer.hpp"

#include <array>
#include <mutex>

namespace backplane::isolation {

/// Owned by the peer's table until it completes, and by itself while it pends.
class Served final : public std::enable_shared_from_this<Served> {
 public:
  /// Throws Error when memory is out.
  Served(std::shared_ptr<Peer> peer, uint64_t number);
  ~Served();
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;

  bp_op* operator->() const noexcept { return op_; }
  bp_op* op() const noexcept { return op_; }
  /// What it is asked with.
  void set_message(wire::Message::Reader in, Incoming& with);

  void submit(bp_ref target) noexcept;
  /// While it waits for its endpoint to be opened, too.
  void credit(uint32_t n) noexcept;
  /// Nothing unless a message was delivered to be acknowledged.
  void acknowledge(uint64_t seq, bp_status status) noexcept;
  void cancel() noexcept;
  void open(std::string_view address) noexcept;
  /// Without having been submitted.
  void refuse(bp_status status, const bp_error* error) noexcept;

  const uint64_t number;
  const bp_error& error() const noexcept { return error_; }

 private:
  static void on_done(bp_op* op);
  static void on_opened(bp_op* op);
  static bp_status on_next(bp_op* op, const bp_message* messages, uint32_t n);
  static constexpr bp_sink kSink = {BP_SIZE_TO(bp_sink, next), 0, &on_next};
  static Served& of(bp_op* op) noexcept { return *static_cast<Served*>(op->user); }

  void begin() noexcept;
  void finish(bp_status status) noexcept;
  void answer(bp_status status);
  void deliver(std::span<const bp_message> messages);

  const std::shared_ptr<Peer> peer_;
  bp_op* const op_;
  bp_error error_{};
  ReadMessage in_;
  std::vector<bp_ref> refs_;      // that came with the message
  std::shared_ptr<Served> self_;  // while it is under way
  std::mutex mutex_;
  bool begun_ = false;  // guarded by mutex_, like what came before it:
  bool early_cancel_ = false;
  uint32_t early_credit_ = 0;
  std::atomic<bool> delivered_{false};  // so that the kernel knows its endpoint
  alignas(16) std::array<std::byte, 256> scratch_;
};

}  // namespace backplane::isolation
