// SPDX-License-Identifier: Apache-2.0
// RemoteEndpoint: an endpoint of this side's kernel that stands for one of the other process.
#pragma once

#include "plugins/isolation/link/peer.hpp"

#include <mutex>

namespace backplane::isolation {

/// Shown as a reference, it ends with its peer. Opened, and with a source of peers, it remembers
/// its address, and the first operation at a new peer opens it there again.
class RemoteEndpoint final : public std::enable_shared_from_this<RemoteEndpoint> {
 public:
  RemoteEndpoint(std::shared_ptr<Peer> peer, uint64_t number);
  RemoteEndpoint(std::shared_ptr<Peer> peer, uint64_t number, std::string address,
                 OwnedMessage options, PeerSource source);

  static bp_endpoint as_endpoint(std::shared_ptr<RemoteEndpoint> self, uint32_t verbs) noexcept;

  /// References that came with results: good as long as this endpoint.
  void keep(std::vector<bp_ref> refs);

 private:
  struct Target {
    std::shared_ptr<Peer> peer;
    uint64_t number = 0;
  };

  static RemoteEndpoint& of(bp_op* op) noexcept { return *static_cast<RemoteEndpoint*>(op->self); }
  static bp_status submit(bp_op* op) noexcept;
  static void cancel(bp_op* op) noexcept;
  static void credit(bp_op* op, uint32_t n) noexcept;
  static void acknowledge(bp_op* op, uint64_t seq, bp_status status) noexcept;
  static void close(void* self) noexcept;
  static constexpr bp_endpoint_ops kOps = {BP_SIZE_TO(bp_endpoint_ops, close),
                                           0,
                                           &submit,
                                           nullptr,
                                           &cancel,
                                           &credit,
                                           &acknowledge,
                                           &close};

  Target target();
  std::shared_ptr<Peer> peer();
  void open_failed(uint64_t number) noexcept;

  const bool opened_;
  const std::string address_;
  const OwnedMessage options_;
  const PeerSource source_;
  std::shared_ptr<RemoteEndpoint> self_;  // until the kernel closes it
  std::mutex mutex_;
  Target target_;             // guarded by mutex_
  std::vector<bp_ref> kept_;  // guarded by mutex_
};

}  // namespace backplane::isolation
