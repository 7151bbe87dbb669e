// SPDX-License-Identifier: Apache-2.0
#include "inbox.hpp"

#include "address.hpp"
#include "handles.hpp"

namespace backplane::coap {

size_t Inbox::take(const coap_pdu_t* request, const std::string& key, Incoming& out) {
  const Bytes part = payload_of(request);
  const auto block = block_option(request, COAP_OPTION_BLOCK1);
  if (!block) {
    out.bytes = part;
    if (part.size() > max_body_) {
      out.code = COAP_RESPONSE_CODE_REQUEST_TOO_LARGE;
      out.size1 = static_cast<uint32_t>(max_body_);
    }
    return 0;
  }
  size_t evicted = 0;
  Assembly& assembly = bodies_.at(key, &evicted);
  switch (assembly.add(*block, part, max_body_)) {
    case Assembly::Step::kMore:
      out.code = COAP_RESPONSE_CODE_CONTINUE;
      out.block1 = block_value(block->num, true, block->szx);
      return evicted;
    case Assembly::Step::kComplete:
      out.storage = assembly.take();
      out.bytes = Bytes(reinterpret_cast<const uint8_t*>(out.storage.data()), out.storage.size());
      out.block1 = block_value(block->num, false, block->szx);
      break;
    case Assembly::Step::kTooLarge:
      out.code = COAP_RESPONSE_CODE_REQUEST_TOO_LARGE;
      out.size1 = static_cast<uint32_t>(max_body_);
      break;
    case Assembly::Step::kOutOfOrder:
      out.code = COAP_RESPONSE_CODE_INCOMPLETE;
      break;
    case Assembly::Step::kBadSize:
      out.code = COAP_RESPONSE_CODE_BAD_REQUEST;
      break;
  }
  bodies_.erase(key);
  return evicted;
}

void Inbox::forget(const coap_session_t* session) {
  bodies_.erase_if([session](const std::string& key) { return belongs_to(key, session); });
}

std::string body_key(const coap_session_t* session, const coap_pdu_t* request) {
  std::string key(reinterpret_cast<const char*>(&session), sizeof(void*));
  key += static_cast<char>(coap_pdu_get_code(request));
  const Bytes tag = option_bytes(request, COAP_OPTION_RTAG).value_or(Bytes());
  key += static_cast<char>(tag.size());
  key.append(reinterpret_cast<const char*>(tag.data()), tag.size());
  key += path_of(request);
  const CoapString query(coap_get_query(request));
  if (query) {
    key += '?';
    key.append(reinterpret_cast<const char*>(query->s), query->length);
  }
  return key;
}

bool belongs_to(const std::string& body_key, const coap_session_t* session) noexcept {
  return std::memcmp(body_key.data(), &session, sizeof(void*)) == 0;
}

}  // namespace backplane::coap
