// SPDX-License-Identifier: Apache-2.0
// An endpoint on the peer.
#pragma once

#include "browse.hpp"
#include "client.hpp"

namespace backplane::coap {

class RemotePath final {
 public:
  RemotePath(Client& client, Target target)
      : client_(client), target_(std::make_shared<const Target>(std::move(target))) {}

  Status read(Op op);
  Status write(Op op);
  Status call(Op op);
  Status watch(Op op);
  Status browse(Op op);
  void cancel(Op op) noexcept;
  void credit(Op op, uint32_t n) noexcept;
  void ack(Op op, uint64_t seq, bp_status status) noexcept;

 private:
  Status request(Op op, coap_pdu_code_t method);

  Client& client_;
  const std::shared_ptr<const Target> target_;
  Guarded<std::shared_ptr<Observation>> observation_;  // of the watches
  Browses browses_;
};

}  // namespace backplane::coap
