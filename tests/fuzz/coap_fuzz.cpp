// SPDX-License-Identifier: Apache-2.0
// The path of inbound datagrams: the input is a row of them, each with its length in front. What
// libcoap parses goes through the inbox of bodies, the headers, the answer in blocks, the registry
// of observers; payloads are also read as link format.
#include "inbox.hpp"
#include "link_format.hpp"
#include "message.hpp"
#include "observers.hpp"

#include <cstdlib>

namespace {

using namespace backplane::coap;

constexpr std::size_t kMaxBody = 4096;
constexpr std::size_t kMaxBodies = 4;
constexpr std::size_t kMaxObservers = 8;

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

void answer_in_blocks(const coap_pdu_t* request, std::string body) {
  Answer answer;
  answer.code = COAP_RESPONSE_CODE_CONTENT;
  answer.format = kOctetStream;
  answer.body = std::move(body);
  const Pdu response(coap_pdu_init(COAP_MESSAGE_ACK, COAP_EMPTY_CODE, 1, 1152));
  require(response != nullptr);
  write_answer(response.get(), answer, wanted_block(request, 6), std::nullopt);
  require(coap_pdu_get_code(response.get()) != COAP_EMPTY_CODE);
  require(payload_of(response.get()).size() <= 1024);
}

void take(const coap_pdu_t* pdu, Inbox& inbox, Observers& observers, Peer& peer) {
  const int session = 0;
  Incoming body;
  inbox.take(pdu, body_key(reinterpret_cast<const coap_session_t*>(&session), pdu), body);
  require(inbox.size() <= kMaxBodies);
  if (body.code == COAP_EMPTY_CODE) {
    require(body.bytes.size() <= kMaxBody);
    for (const ValueType type : {ValueType::kAny, ValueType::kNumber, ValueType::kInteger,
                                 ValueType::kBoolean, ValueType::kString}) {
      static_cast<void>(typed_value_of(body.bytes, format_option(pdu), type));
    }
    answer_in_blocks(
        pdu, std::string(reinterpret_cast<const char*>(body.bytes.data()), body.bytes.size()));
  }
  backplane::MessageBuilder message;
  fill_message(message, pdu, payload_of(pdu));
  const backplane::OwnedMessage kept(message.view());
  for (const bp_pair& header : kept.view().headers()) {
    // A peer gives no header of the kernel's, but for these.
    require(header.key.tag == BP_T_STRING ||
            (header.key.as.u == BP_H_STATUS || header.key.as.u == BP_H_CONTENT_TYPE ||
             header.key.as.u == BP_H_ETAG || header.key.as.u == BP_H_EXPIRY_NS));
  }
  observers.look_at(peer, nullptr, pdu);
  require(observers.count() <= kMaxObservers && observers.count() == peer.observations.size());
  const coap_mid_t mid = coap_pdu_get_mid(pdu);
  const Token token(coap_pdu_get_token(pdu));
  if (Taken* const taken = peer.take(mid, token, coap_pdu_get_type(pdu), 0)) {
    taken->code = COAP_RESPONSE_CODE_CHANGED;
    require(peer.find(mid, token, 1) != nullptr);
    require(peer.find(mid, token, Peer::kLifetime.count()) == nullptr);
  }
  const Bytes payload = payload_of(pdu);
  const std::string_view text(reinterpret_cast<const char*>(payload.data()), payload.size());
  if (const auto links = read_links(text, 64)) {
    require(links->size() <= 64);
    require(read_links(write_links(*links, ""), 64) == links);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  coap_startup();
  coap_set_log_level(LOG_EMERG);
  Inbox inbox(kMaxBody, kMaxBodies);
  Observers observers(kMaxObservers);
  Peer peer;
  while (size > 2) {
    const std::size_t length = std::min(std::size_t{data[0]} | std::size_t{data[1]} << 8, size - 2);
    const Pdu pdu(coap_pdu_init(COAP_MESSAGE_CON, COAP_EMPTY_CODE, 0, 1152));
    require(pdu != nullptr);
    if (length <= 1152 && coap_pdu_parse(COAP_PROTO_UDP, data + 2, length, pdu.get()) != 0 &&
        coap_pdu_get_code(pdu.get()) != COAP_EMPTY_CODE) {
      take(pdu.get(), inbox, observers, peer);
    }
    data += 2 + length;
    size -= 2 + length;
  }
  return 0;
}
