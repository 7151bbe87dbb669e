// SPDX-License-Identifier: Apache-2.0
// Bodies of requests on their way in: whole in one datagram, or in blocks, which are kept until the
// last one. Bounded in size and number; loop thread only.
#pragma once

#include "block.hpp"

namespace backplane::coap {

/// The body of a request, or the code that answers this datagram.
struct Incoming {
  Bytes bytes;
  std::string storage;                     // where they lie when they came in blocks
  std::optional<uint32_t> block1;          // the answer's option
  std::optional<uint32_t> size1;           // the most that is taken, with 4.13
  coap_pdu_code_t code = COAP_EMPTY_CODE;  // empty: the body is complete
};

class Inbox {
 public:
  Inbox(size_t max_body, size_t max_bodies) : max_body_(max_body), bodies_(max_bodies) {}

  /// Takes a datagram. `key` names the body: see body_key. `out.bytes` lies in `out` or in the
  /// datagram. Returns how many other bodies had to go for it.
  size_t take(const coap_pdu_t* request, const std::string& key, Incoming& out);
  /// Forgets what a peer has not finished.
  void forget(const coap_session_t* session);
  size_t size() const noexcept { return bodies_.size(); }

 private:
  const size_t max_body_;
  Recent<Assembly> bodies_;
};

/// Names a body in blocks: who sends it, by which method, under which tag of his, where to.
std::string body_key(const coap_session_t* session, const coap_pdu_t* request);
bool belongs_to(const std::string& body_key, const coap_session_t* session) noexcept;

}  // namespace backplane::coap
