// SPDX-License-Identifier: Apache-2.0
// Between CoAP's response codes (RFC 7252, 12.1.2), libcoap's reasons for no answer, and bp_status.
#pragma once

#include <backplane/sdk/status.hpp>

#include <coap3/coap.h>

#include <string_view>

namespace backplane::coap {

/// 205 for 2.05: the number that BP_H_STATUS and bp_error.native carry.
int decimal_of(coap_pdu_code_t code) noexcept;

/// What an answer means for the operation: OK for 2.xx.
bp_status status_of_code(coap_pdu_code_t code) noexcept;

/// The answer to a request whose handler ended with this status, which is no success.
coap_pdu_code_t code_of_status(bp_status status) noexcept;

/// "4.04 Not Found: no such lamp", native 404; OK for 2.xx. `diagnostic` is the answer's payload,
/// shown as far as it is printable.
Status error_of_answer(coap_pdu_code_t code, std::string_view diagnostic);

/// Why nothing came back.
Status error_of_nack(coap_nack_reason_t reason);

}  // namespace backplane::coap
