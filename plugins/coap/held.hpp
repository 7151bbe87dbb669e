// SPDX-License-Identifier: Apache-2.0
// Requests whose answer depends on others: watchers that acknowledge, handlers that are served. The
// peer has its empty acknowledgement; the answer follows as a message of its own (RFC 7252, 5.2.2).
// Loop thread only.
#pragma once

#include "options.hpp"
#include "peer.hpp"
#include "stack.hpp"

#include <deque>
#include <unordered_map>

namespace backplane::coap {

/// What of a request is needed to answer it.
struct Asked {
  coap_session_t* session = nullptr;
  coap_pdu_type_t type = COAP_MESSAGE_CON;
  coap_mid_t mid = 0;
  Token token;
  Wanted wanted;
  std::optional<uint32_t> block1;
  std::string body_key;  // under which the answer's other blocks are kept; empty: they are not
};

class HeldRequests {
 public:
  /// `timed_out` is told the id of a request that waited for `answer_timeout`.
  HeldRequests(Stack& stack, const Options& options, std::function<void(uint64_t)> timed_out);

  bool is_full() const noexcept { return held_.size() >= options_.max_requests; }
  bool is_empty() const noexcept { return held_.empty(); }
  /// Keeps the session until the answer.
  void hold(uint64_t id, Asked asked);
  /// The request, no longer held; nothing when it has been answered.
  std::optional<Asked> take(uint64_t id);
  /// Sends the answer to a request that was held.
  void send(const Asked& asked, const Answer& answer);
  std::vector<uint64_t> ids() const;
  void close() noexcept { timer_.reset(); }

 private:
  struct Entry {
    Asked asked;
    Session session;
  };
  void expire();

  Stack& stack_;
  const Options& options_;
  const std::function<void(uint64_t)> timed_out_;
  std::unordered_map<uint64_t, Entry> held_;
  std::deque<std::pair<int64_t, uint64_t>> deadlines_;  // oldest first; answered ones are skipped
  std::optional<Timer> timer_;
  bool armed_ = false;
};

}  // namespace backplane::coap
