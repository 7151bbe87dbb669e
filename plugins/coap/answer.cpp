// SPDX-License-Identifier: Apache-2.0
#include "answer.hpp"

#include "error_map.hpp"

namespace backplane::coap {
namespace {

coap_pdu_code_t success_of(coap_pdu_code_t method) noexcept {
  switch (method) {
    case COAP_REQUEST_CODE_GET:
    case COAP_REQUEST_CODE_FETCH:
      return COAP_RESPONSE_CODE_CONTENT;
    case COAP_REQUEST_CODE_DELETE:
      return COAP_RESPONSE_CODE_DELETED;
    default:
      return COAP_RESPONSE_CODE_CHANGED;
  }
}

/// 204 as 2.04; nothing for what is no response code.
std::optional<coap_pdu_code_t> code_of_decimal(uint32_t decimal) noexcept {
  const uint32_t response_class = decimal / 100;
  const uint32_t detail = decimal % 100;
  if (response_class < 2 || response_class > 5 || detail > 31) {
    return std::nullopt;
  }
  return static_cast<coap_pdu_code_t>(response_class << 5 | detail);
}

}  // namespace

Answer answer_of(coap_pdu_code_t method, bp_status status, MessageView out,
                 std::string_view error_text) {
  Answer answer;
  answer.code = status == BP_OK ? success_of(method) : code_of_status(status);
  if (const auto decimal = out.header<uint32_t>(BP_H_STATUS)) {
    const auto code = code_of_decimal(*decimal);
    if (code && (COAP_RESPONSE_CLASS(*code) == 2) == (status == BP_OK)) {
      answer.code = *code;
    }
  }
  Payload payload;
  encode(out.body(), out.header<std::string_view>(BP_H_CONTENT_TYPE), payload);
  if (status != BP_OK && payload.bytes.empty()) {
    answer.body = error_text;
  } else {
    answer.body.assign(reinterpret_cast<const char*>(payload.bytes.data()), payload.bytes.size());
    answer.format = payload.format;
  }
  if (const auto expiry = out.header<int64_t>(BP_H_EXPIRY_NS)) {
    answer.max_age = max_age_of(*expiry);
  }
  if (has_header_options(out)) {
    MessageBuilder headers;
    headers.headers(out.headers());
    answer.headers = OwnedMessage(headers.view());
  }
  return answer;
}

Wanted wanted_block(const coap_pdu_t* request, unsigned most_szx) noexcept {
  const auto block = block_option(request, COAP_OPTION_BLOCK2);
  return block ? Wanted{block->num, std::min<unsigned>(block->szx, most_szx), true}
               : Wanted{0, most_szx, false};
}

void write_answer(coap_pdu_t* response, const Answer& answer, const Wanted& wanted,
                  std::optional<uint32_t> block1) {
  coap_pdu_set_code(response, answer.code);
  add_header_options(response, answer.headers);
  bool fits = answer.format == kNoFormat ||
              add_uint_option(response, COAP_OPTION_CONTENT_FORMAT, answer.format);
  if (answer.max_age) {
    fits = fits && add_uint_option(response, COAP_OPTION_MAXAGE, *answer.max_age);
  }
  if (block1) {
    fits = fits && add_uint_option(response, COAP_OPTION_BLOCK1, *block1);
  }
  fits = fits && add_body(response, COAP_OPTION_BLOCK2, answer.bytes(), wanted.number, wanted.szx,
                          wanted.asked && COAP_RESPONSE_CLASS(answer.code) == 2);
  if (!fits) {
    coap_pdu_set_code(response, wanted.number > 0 ? COAP_RESPONSE_CODE_BAD_REQUEST
                                                  : COAP_RESPONSE_CODE_INTERNAL_ERROR);
  }
}

}  // namespace backplane::coap
