// SPDX-License-Identifier: Apache-2.0
// How many observations the library may hold for peers. It keeps one for each peer, resource and
// set of options, and does not tell when it drops one: so each counts until its peer's session ends
// or the peer deregisters. Loop thread only.
#pragma once

#include "peer.hpp"

namespace backplane::coap {

class Observers {
 public:
  explicit Observers(size_t most) : most_(most) {}

  enum class Answer {
    kNone,     // the request is no registration
    kNew,      // registered now
    kKnown,    // registered before: this may be its notification, which must not be an error
    kTooMany,  // over the bound: an error makes the library forget it
  };
  /// What a GET of an observable resource is.
  Answer look_at(Peer& peer, const void* resource, const coap_pdu_t* request);
  /// The peer's session ends.
  void forget(const Peer& peer) noexcept { count_ -= peer.observations.size(); }
  size_t count() const noexcept { return count_; }

 private:
  const size_t most_;
  size_t count_ = 0;
};

}  // namespace backplane::coap
