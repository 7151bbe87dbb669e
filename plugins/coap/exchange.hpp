// SPDX-License-Identifier: Apache-2.0
// One request of the client and its answer, however many datagrams they are. Loop thread only.
#pragma once

#include "address.hpp"
#include "block.hpp"
#include "handles.hpp"
#include "message.hpp"

#include <memory>

namespace backplane::coap {

class Client;

/// Whoever waits for what comes with a token.
class Receiver : public std::enable_shared_from_this<Receiver> {
 public:
  virtual ~Receiver() = default;
  /// A message with its token; its own token may change or be forgotten inside.
  virtual void response(const coap_pdu_t* pdu) = 0;
  /// Nothing will come: no acknowledgement, time over, stopping.
  virtual void lost(const Status& status) = 0;
  /// Sends again what is being waited for, since the session is another one now.
  virtual void resend() = 0;

  uint64_t token = 0;                 // by which the client finds it; 0: not under way
  uint64_t operation = 0;             // whose cancel ends it; 0: none
  uint64_t order = 0;                 // in which receivers were first sent; 0: not yet
  coap_mid_t mid = COAP_INVALID_MID;  // of the last request
  Pdu held;                           // the last request, if the library does not have it (yet)
  unsigned waited_s = 0;              // seconds since the last request
  bool is_waiting = false;            // an answer is due
};

class Exchange : public Receiver {
 public:
  Exchange(Client& client, std::shared_ptr<const Target> target, coap_pdu_code_t method)
      : client_(client), target_(std::move(target)), method_(method) {}

  /// Sends the request, or its next block. An error: nothing was sent, and finished() is not
  /// called.
  Status send();

  void response(const coap_pdu_t* pdu) final;
  void lost(const Status& status) final;
  void resend() final;

 protected:
  /// The end, called once: OK with the last datagram and the whole body (borrowed), also when the
  /// code is an error's; else both are empty.
  virtual void finished(const Status& status, const coap_pdu_t* pdu, Bytes body) = 0;
  /// Starts with a later block of the answer: `begun` is what came before it.
  void continue_after(Assembly begun, unsigned szx, std::optional<Bytes> etag);

  Client& client_;
  const std::shared_ptr<const Target> target_;
  const coap_pdu_code_t method_;
  coap_pdu_type_t type_ = COAP_MESSAGE_CON;
  Payload payload_;
  MessageView headers_;  // of the request; what it views outlives the exchange

 private:
  Status send_once();
  Status fill(coap_pdu_t* pdu);
  void next_request_block(const coap_block_t& answered);
  bool next_answer_block(const coap_pdu_t* pdu, const coap_block_t& block);
  void go_on();
  void finish(const Status& status, const coap_pdu_t* pdu, Bytes body);

  std::optional<unsigned> szx_;  // of the client's configuration until the peer wants smaller ones
  uint32_t request_block_ = 0;
  uint32_t answer_block_ = 0;
  bool wants_block2_ = false;
  unsigned restarts_ = 0;
  Assembly body_;
  std::string etag_;
};

}  // namespace backplane::coap
