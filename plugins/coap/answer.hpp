// SPDX-License-Identifier: Apache-2.0
// An answer of the server, before it is a datagram: a code, options, a body of any length.
#pragma once

#include "block.hpp"
#include "handles.hpp"
#include "message.hpp"
#include <backplane/sdk/host.hpp>

namespace backplane::coap {

struct Answer {
  coap_pdu_code_t code = COAP_EMPTY_CODE;
  uint16_t format = kNoFormat;
  std::optional<uint32_t> max_age;
  OwnedMessage headers;  // its body is not used
  std::string body;

  Bytes bytes() const noexcept {
    return {reinterpret_cast<const uint8_t*>(body.data()), body.size()};
  }
};

/// What a handler's result means as the answer to `method`: its value and headers, or its error
/// with the text as diagnostic payload. `status` is not pending. BP_H_STATUS (204) among the
/// headers chooses the code.
Answer answer_of(coap_pdu_code_t method, bp_status status, MessageView out,
                 std::string_view error_text);

/// The blocks that a request asks for.
struct Wanted {
  uint32_t number = 0;
  unsigned szx = 6;
  bool asked = false;  // there was a Block2 option
};
Wanted wanted_block(const coap_pdu_t* request, unsigned most_szx) noexcept;

/// Fills a response. When it has no room, or there is no such block, the response becomes an error.
/// Throws Error (INVALID_ARGUMENT) for a header that does not fit its option.
void write_answer(coap_pdu_t* response, const Answer& answer, const Wanted& wanted,
                  std::optional<uint32_t> block1);

/// Runs what fills a response: what it throws is logged, and the response becomes 5.00.
template <class Body>
void answer_safely(const Host& host, coap_pdu_t* response, Body&& body) noexcept {
  boundary(body, [&](const Status& status) noexcept {
    coap_pdu_set_code(response, COAP_RESPONSE_CODE_INTERNAL_ERROR);
    host.log().warning("a request is answered 5.00", {{"reason", status.message()}});
  });
}

}  // namespace backplane::coap
