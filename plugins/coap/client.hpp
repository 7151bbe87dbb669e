// SPDX-License-Identifier: Apache-2.0
// The client of an instance: one peer, one session, requests told apart by their tokens, and
// whether the peer is there. Loop thread only, but for observation().
//
// Design notes.
// - UDP has no connection. The state is UP when the peer has answered something; a CoAP ping asks
//   for that at the start, after `keepalive_s` of silence, and again with back-off while nobody
//   answers. Requests are sent whatever the state is.
// - A name can have several addresses. Until the first answer, an address that refuses makes the
//   next one be tried. With another address, what was being waited for is sent again.
// - The library gives up a confirmable request after its last retransmission. A request that was
//   acknowledged, or needs no acknowledgement, is given up by a clock that ticks once a second.
// - Who answers after silence is sent what waits at once, not when its next retransmission is due:
//   that could be half a minute later. Pings that are still under way are dropped then.
// - When the system says that nobody listens, the library would go on to send what it has again,
//   and an old PUT could arrive after a newer one. So all that is under way ends then: in a task of
//   its own, since the library is walking its queue. For the same reason, what the library would
//   still send of a request that is cancelled or too late is dropped.
// - A ping does not count for `nstart`, so that no request waits for a peer that answers none. The
//   library has one bound for both, and when a ping ends it lets the next message go: that could be
//   a PUT which overtakes one that was lost. So from a ping until its answer the client keeps to
//   `nstart` itself, and hands over no message that the library would have to keep back ("gated").
//   It does so for some seconds more if a reset, which is how a ping is answered, can still be on
//   its way: the library lets a message go for each reset, whatever that is for.
//   With DTLS, where messages cannot be taken back, a ping and a request are sent beyond `nstart`
//   instead.
// - With DTLS a request waits for the handshake, and fails with it. A session that is lost, or is
//   silent for too long (a peer that was started anew passes over what it cannot read), is replaced
//   by a new one on a new port, where what was being waited for is sent again. The library's own
//   way back, a handshake by its settings when something is sent, is never taken: who sends looks
//   at is_ready() first. Of a request that is given up the library goes on to send copies, since it
//   could forget them only together with the session.
#pragma once

#include "dtls_client.hpp"
#include "exchange.hpp"
#include "observation.hpp"
#include "options.hpp"
#include "stack.hpp"
#include <backplane/sdk/reconnect.hpp>
#include <backplane/sdk/resolver.hpp>

#include <unordered_map>

namespace backplane::coap {

/// The system reports a refused datagram when the next one is sent, which it then does not send.
inline constexpr int kSends = 2;

class Client {
 public:
  /// `url` of the configuration. Throws Error. [control]
  Client(Stack& stack, const Options& options, const Config& config);
  ~Client();

  /// Begins to look for the peer.
  void start();
  /// Ends all requests and watches with CANCELLED; `stopped` is called when nothing is left. Never
  /// from inside the library.
  void stop(std::function<void()> stopped);

  /// Takes a request; its end is its finished(). RESOURCE_EXHAUSTED: too many are under way.
  Status begin(std::shared_ptr<Exchange> exchange);
  /// CANCELLED for the request with this operation, if there is one.
  void cancel(uint64_t operation);
  /// The one observation of this target, made when it is new. Pinned: unpin() it when its hub has
  /// the watch. [any]
  std::shared_ptr<Observation> observation(const std::shared_ptr<const Target>& target);
  /// True: nobody watches it nor is about to, and it is not this target's observation any more.
  bool retire(const Observation& observation);

  const Host& host() const noexcept { return stack_.host(); }
  /// A number for an operation, by which it is cancelled. [any]
  uint64_t new_operation() noexcept { return next_operation_.fetch_add(1); }
  const Options& options() const noexcept { return options_; }
  /// Requests can be sent.
  bool is_ready() const noexcept {
    return session_ != nullptr && (!dtls_ || (is_open_ && !is_ending_));
  }
  bool is_secure() const noexcept { return dtls_ != nullptr; }
  /// Of a client with coaps:.
  DtlsClient& dtls() noexcept { return *dtls_; }
  void count_lost_notification() noexcept { lost_notifications_.add(); }

  // ---- for receivers ----
  /// A request with a token: the receiver's own, else `token`, else a new one. Null: no memory.
  coap_pdu_t* new_request(Receiver& receiver, coap_pdu_type_t type, coap_pdu_code_t method,
                          uint64_t token = 0);
  /// UNAVAILABLE: the system did not take it, and the receiver is forgotten.
  Status send(Receiver& receiver, Pdu pdu);
  /// Nothing comes for it any more.
  void forget(Receiver& receiver) noexcept;

  // ---- from the library ----
  /// False: nobody waits for it.
  bool on_response(const coap_pdu_t* received);
  void on_nack(coap_session_t* session, const coap_pdu_t* sent, coap_nack_reason_t reason,
               coap_mid_t mid);
  void on_event(coap_session_t* session, coap_event_t event);

 private:
  std::unique_ptr<DtlsClient> make_dtls(const Config& config) const;
  Reconnect::Options reconnect_options();
  void attempt();
  void connect(const std::vector<std::string>& hosts);
  void use_address();
  void close_session() noexcept;
  bool try_next_address();
  void probe();
  void ping();
  void end_ping() noexcept;
  void link_down();
  void proven();
  void end_session_later() noexcept;
  void end_session(const Status& why);
  void not_let_in(const Status& why);
  void give_up(const Status& why);
  void lost_touch(const Status& why);
  void lose_unsent(const Status& why);
  void drop_messages();
  void resend_all();
  void abandon(const std::shared_ptr<Receiver>& receiver, const Status& status);
  size_t under_way() const noexcept;
  bool may_hand_over() const noexcept;
  void set_gate(bool gated) noexcept;
  void collect();
  void hold(Receiver& receiver, const coap_pdu_t* sent);
  void release();
  void release_later() noexcept;
  void send_anew_later() noexcept;
  void send_anew();
  void open_gate_in_time();
  void heard();
  void failed(std::string_view reason);
  void tick();
  void look_whether_it_is_there();
  unsigned ping_after_s() const noexcept;
  void check_stopped();
  std::vector<std::shared_ptr<Observation>> observations();
  void flush_unsent();
  /// In the order in which they were first sent.
  std::vector<std::shared_ptr<Receiver>> receivers(bool (*wanted)(const Receiver&));

  Stack& stack_;
  const Options& options_;
  const Authority authority_;
  const bool is_numeric_;
  const std::unique_ptr<DtlsClient> dtls_;  // null: plain UDP
  Resolver resolver_;
  Reconnect reconnect_;
  Timer ticker_;
  std::vector<coap_address_t> addresses_;
  size_t address_ = 0;
  Session session_;
  uint64_t session_number_ = 0;
  bool is_proven_ = false;  // DTLS: the handshake of session_ is over
  bool is_open_ = false;    // DTLS: and what waited for it has been sent, before what comes now
  Status end_;              // why the session ends, as far as that is known
  Status refusal_;          // the peer said no, and will again; OK if not
  unsigned handshake_s_ = 0;
  bool is_ending_ = false;  // DTLS: it is over, and a task will say so
  std::unordered_map<uint64_t, std::shared_ptr<Receiver>> receivers_;
  uint64_t last_order_ = 0;
  std::vector<std::shared_ptr<Exchange>> unsent_;  // until the name has an address
  Guarded<std::unordered_map<std::string, std::shared_ptr<Observation>>> observations_;

  std::atomic<uint64_t> next_operation_{1};
  coap_mid_t ping_ = COAP_INVALID_MID;
  bool ping_due_ =
      false;  // its answer still counts; `ping_` is for as long as the library sends it
  unsigned ping_waited_s_ = 0;
  unsigned quiet_s_ = 0;
  bool trying_ = false;     // between a try and its first answer
  bool answered_ = false;   // ever, at one of these addresses
  bool ask_again_ = false;  // a name may have moved
  bool down_posted_ = false;
  bool anew_posted_ = false;
  bool is_gated_ = false;
  unsigned pings_ = 0;           // since the gate was closed
  bool no_reset_comes_ = false;  // the gate may be opened
  unsigned answered_s_ = 0;      // seconds since the last ping ended
  bool is_collecting_ = false;
  bool stopping_ = false;
  size_t stops_left_ = 0;
  std::function<void()> stopped_;

  const Counter requests_;
  const Counter timeouts_;
  const Counter unexpected_;
  const Counter lost_notifications_;
};

}  // namespace backplane::coap
