// SPDX-License-Identifier: Apache-2.0
#include "answer.hpp"

#include "error_map.hpp"
#include "test_pdu.hpp"

#include <gmock/gmock.h>

namespace backplane::coap::test {
namespace {

int code(coap_pdu_code_t method, bp_status status = BP_OK, std::optional<uint32_t> chosen = {}) {
  MessageBuilder out;
  if (chosen) {
    out.header(BP_H_STATUS, *chosen);
  }
  return decimal_of(answer_of(method, status, out, "").code);
}

TEST(CoapAnswer, HasTheMethodsCodeUnlessTheHandlerChooses) {
  EXPECT_EQ(code(COAP_REQUEST_CODE_GET), 205);
  EXPECT_EQ(code(COAP_REQUEST_CODE_FETCH), 205);
  EXPECT_EQ(code(COAP_REQUEST_CODE_PUT), 204);
  EXPECT_EQ(code(COAP_REQUEST_CODE_POST), 204);
  EXPECT_EQ(code(COAP_REQUEST_CODE_DELETE), 202);
  EXPECT_EQ(code(COAP_REQUEST_CODE_POST, BP_OK, 201), 201);
  EXPECT_EQ(code(COAP_REQUEST_CODE_POST, BP_OK, 404), 204) << "a success is no error";
  EXPECT_EQ(code(COAP_REQUEST_CODE_POST, BP_OK, 999), 204);
  EXPECT_EQ(code(COAP_REQUEST_CODE_POST, BP_NOT_FOUND), 404);
  EXPECT_EQ(code(COAP_REQUEST_CODE_POST, BP_UNAVAILABLE, 422), 422);
}

TEST(CoapAnswer, HasTheErrorsTextAsDiagnosticPayload) {
  const Answer answer = answer_of(COAP_REQUEST_CODE_GET, BP_NOT_FOUND, MessageView(), "no lamp");
  EXPECT_EQ(answer.body, "no lamp");
  EXPECT_EQ(answer.format, kNoFormat);
}

TEST(CoapAnswer, IsWrittenWithItsOptionsAndTheBlockThatWasAskedFor) {
  Answer answer;
  answer.code = COAP_RESPONSE_CODE_CONTENT;
  answer.format = kTextPlain;
  answer.max_age = 9;
  answer.body = std::string(100, 'a') + "b";
  const Pdu request = make_pdu(COAP_REQUEST_CODE_GET, {});
  ASSERT_TRUE(add_uint_option(request.get(), COAP_OPTION_BLOCK2, block_value(6, false, 0)));
  const Wanted wanted = wanted_block(request.get(), 6);
  EXPECT_EQ(wanted.number, 6u);
  const Pdu response = make_pdu(COAP_EMPTY_CODE, {});
  write_answer(response.get(), answer, wanted, block_value(3, false, 2));
  EXPECT_EQ(coap_pdu_get_code(response.get()), COAP_RESPONSE_CODE_CONTENT);
  EXPECT_EQ(text(payload_of(response.get())), "aaaab");
  EXPECT_EQ(option_uint(response.get(), COAP_OPTION_BLOCK2), block_value(6, false, 0));
  EXPECT_EQ(option_uint(response.get(), COAP_OPTION_BLOCK1), block_value(3, false, 2));
  EXPECT_EQ(option_uint(response.get(), COAP_OPTION_MAXAGE), 9u);
  EXPECT_EQ(option_uint(response.get(), COAP_OPTION_CONTENT_FORMAT), 0u);
}

TEST(CoapAnswer, IsBadRequestForABlockThatThereIsNot) {
  Answer answer;
  answer.code = COAP_RESPONSE_CODE_CONTENT;
  answer.body = "short";
  const Pdu response = make_pdu(COAP_EMPTY_CODE, {});
  write_answer(response.get(), answer, Wanted{4, 6, true}, std::nullopt);
  EXPECT_EQ(coap_pdu_get_code(response.get()), COAP_RESPONSE_CODE_BAD_REQUEST);
}

}  // namespace
}  // namespace backplane::coap::test
