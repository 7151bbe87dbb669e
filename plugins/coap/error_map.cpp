// SPDX-License-Identifier: Apache-2.0
#include "error_map.hpp"

#include <cctype>

namespace backplane::coap {
namespace {

struct Mapping {
  coap_pdu_code_t code;
  bp_status status;
};

// The first row with a status is the code that it becomes on the way out.
constexpr Mapping kMappings[] = {
    {COAP_RESPONSE_CODE_BAD_REQUEST, BP_INVALID_ARGUMENT},
    {COAP_RESPONSE_CODE_UNAUTHORIZED, BP_UNAUTHENTICATED},
    {COAP_RESPONSE_CODE_BAD_OPTION, BP_INVALID_ARGUMENT},
    {COAP_RESPONSE_CODE_FORBIDDEN, BP_PERMISSION_DENIED},
    {COAP_RESPONSE_CODE_NOT_FOUND, BP_NOT_FOUND},
    {COAP_RESPONSE_CODE_NOT_ALLOWED, BP_UNIMPLEMENTED},
    {COAP_RESPONSE_CODE_NOT_ACCEPTABLE, BP_INVALID_ARGUMENT},
    {COAP_RESPONSE_CODE_CONFLICT, BP_ALREADY_EXISTS},
    {COAP_RESPONSE_CODE_INCOMPLETE, BP_ABORTED},
    {COAP_RESPONSE_CODE_PRECONDITION_FAILED, BP_FAILED_PRECONDITION},
    {COAP_RESPONSE_CODE_TOO_MANY_REQUESTS, BP_RESOURCE_EXHAUSTED},
    {COAP_RESPONSE_CODE_REQUEST_TOO_LARGE, BP_RESOURCE_EXHAUSTED},
    {COAP_RESPONSE_CODE_UNSUPPORTED_CONTENT_FORMAT, BP_INVALID_ARGUMENT},
    {COAP_RESPONSE_CODE_UNPROCESSABLE, BP_INVALID_ARGUMENT},
    {COAP_RESPONSE_CODE_INTERNAL_ERROR, BP_INTERNAL},
    {COAP_RESPONSE_CODE_NOT_IMPLEMENTED, BP_UNIMPLEMENTED},
    {COAP_RESPONSE_CODE_SERVICE_UNAVAILABLE, BP_UNAVAILABLE},
    {COAP_RESPONSE_CODE_BAD_GATEWAY, BP_UNAVAILABLE},
    {COAP_RESPONSE_CODE_GATEWAY_TIMEOUT, BP_DEADLINE_EXCEEDED},
    {COAP_RESPONSE_CODE_PROXYING_NOT_SUPPORTED, BP_UNIMPLEMENTED},
    {COAP_RESPONSE_CODE_SERVICE_UNAVAILABLE, BP_CANCELLED},
    {COAP_RESPONSE_CODE_BAD_REQUEST, BP_OUT_OF_RANGE},
};

std::string printable(std::string_view text) {
  constexpr size_t kMost = 120;
  std::string out;
  for (const char c : text.substr(0, kMost)) {
    out += std::iscntrl(static_cast<unsigned char>(c)) != 0 ? ' ' : c;
  }
  return out;
}

}  // namespace

int decimal_of(coap_pdu_code_t code) noexcept {
  return COAP_RESPONSE_CLASS(code) * 100 + (static_cast<int>(code) & 0x1f);
}

bp_status status_of_code(coap_pdu_code_t code) noexcept {
  const int response_class = COAP_RESPONSE_CLASS(code);
  if (response_class == 2) {
    return BP_OK;
  }
  for (const Mapping& row : kMappings) {
    if (row.code == code) {
      return row.status;
    }
  }
  // An unknown code counts as the general one of its class (RFC 7252, 5.9).
  return response_class == 4 ? BP_INVALID_ARGUMENT : response_class == 5 ? BP_INTERNAL : BP_UNKNOWN;
}

coap_pdu_code_t code_of_status(bp_status status) noexcept {
  for (const Mapping& row : kMappings) {
    if (row.status == status) {
      return row.code;
    }
  }
  return COAP_RESPONSE_CODE_INTERNAL_ERROR;
}

Status error_of_answer(coap_pdu_code_t code, std::string_view diagnostic) {
  const bp_status status = status_of_code(code);
  if (status == BP_OK) {
    return Status::ok();
  }
  const int decimal = decimal_of(code);
  const char* const phrase = coap_response_phrase(static_cast<unsigned char>(code));
  std::string text =
      concat("the peer answered ", decimal / 100, ".", decimal % 100 / 10, decimal % 10,
             phrase != nullptr ? " " : "", std::string_view(phrase != nullptr ? phrase : ""));
  if (!diagnostic.empty()) {
    text += concat(": ", printable(diagnostic));
  }
  return Status(status, text).with_native(decimal, "coap");
}

Status error_of_nack(coap_nack_reason_t reason) {
  switch (reason) {
    case COAP_NACK_TOO_MANY_RETRIES:
      return Status(BP_UNAVAILABLE, "no acknowledgement after the last retransmission");
    case COAP_NACK_NOT_DELIVERABLE:
      return Status(BP_UNAVAILABLE, "the message could not be sent");
    case COAP_NACK_RST:
      return Status(BP_UNAVAILABLE, "the peer reset the message: it does not understand it");
    case COAP_NACK_ICMP_ISSUE:
      return Status(BP_UNAVAILABLE, "nobody listens at the peer's port, or its network is down");
    case COAP_NACK_TLS_FAILED:
      return Status(BP_UNAUTHENTICATED, "the DTLS handshake failed");
    default:
      return Status(BP_UNKNOWN, "the library gave up for reason ", static_cast<int>(reason));
  }
}

}  // namespace backplane::coap
