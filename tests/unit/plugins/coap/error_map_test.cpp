// SPDX-License-Identifier: Apache-2.0
#include "error_map.hpp"

#include <gmock/gmock.h>

namespace backplane::coap {
namespace {

coap_pdu_code_t code_of(int decimal) {
  return static_cast<coap_pdu_code_t>(COAP_RESPONSE_CODE(decimal));
}

struct Row {
  int decimal;
  bp_status status;
};
class CoapErrorMap : public testing::TestWithParam<Row> {};

TEST_P(CoapErrorMap, GivesEachCodeItsStatus) {
  EXPECT_EQ(status_of_code(code_of(GetParam().decimal)), GetParam().status);
  EXPECT_EQ(decimal_of(code_of(GetParam().decimal)), GetParam().decimal);
}
INSTANTIATE_TEST_SUITE_P(
    Codes, CoapErrorMap,
    testing::Values(Row{201, BP_OK}, Row{204, BP_OK}, Row{205, BP_OK}, Row{231, BP_OK},
                    Row{400, BP_INVALID_ARGUMENT}, Row{401, BP_UNAUTHENTICATED},
                    Row{402, BP_INVALID_ARGUMENT}, Row{403, BP_PERMISSION_DENIED},
                    Row{404, BP_NOT_FOUND}, Row{405, BP_UNIMPLEMENTED},
                    Row{406, BP_INVALID_ARGUMENT}, Row{408, BP_ABORTED},
                    Row{409, BP_ALREADY_EXISTS}, Row{412, BP_FAILED_PRECONDITION},
                    Row{413, BP_RESOURCE_EXHAUSTED}, Row{415, BP_INVALID_ARGUMENT},
                    Row{422, BP_INVALID_ARGUMENT}, Row{429, BP_RESOURCE_EXHAUSTED},
                    Row{500, BP_INTERNAL}, Row{501, BP_UNIMPLEMENTED}, Row{502, BP_UNAVAILABLE},
                    Row{503, BP_UNAVAILABLE}, Row{504, BP_DEADLINE_EXCEEDED},
                    Row{505, BP_UNIMPLEMENTED}, Row{418, BP_INVALID_ARGUMENT},
                    Row{531, BP_INTERNAL}, Row{700, BP_UNKNOWN}));

class CoapAnswerCode : public testing::TestWithParam<Row> {};
TEST_P(CoapAnswerCode, GivesEachStatusItsCode) {
  EXPECT_EQ(decimal_of(code_of_status(GetParam().status)), GetParam().decimal);
}
INSTANTIATE_TEST_SUITE_P(
    Statuses, CoapAnswerCode,
    testing::Values(Row{503, BP_CANCELLED}, Row{500, BP_UNKNOWN}, Row{400, BP_INVALID_ARGUMENT},
                    Row{504, BP_DEADLINE_EXCEEDED}, Row{404, BP_NOT_FOUND},
                    Row{409, BP_ALREADY_EXISTS}, Row{403, BP_PERMISSION_DENIED},
                    Row{429, BP_RESOURCE_EXHAUSTED}, Row{412, BP_FAILED_PRECONDITION},
                    Row{408, BP_ABORTED}, Row{400, BP_OUT_OF_RANGE}, Row{405, BP_UNIMPLEMENTED},
                    Row{500, BP_INTERNAL}, Row{503, BP_UNAVAILABLE}, Row{500, BP_DATA_LOSS},
                    Row{401, BP_UNAUTHENTICATED}, Row{500, -99}));

class CoapNack : public testing::TestWithParam<std::pair<coap_nack_reason_t, bp_status>> {};
TEST_P(CoapNack, SaysWhyNothingCame) {
  const Status status = error_of_nack(GetParam().first);
  EXPECT_EQ(status.code(), GetParam().second);
  EXPECT_FALSE(status.message().empty());
}
INSTANTIATE_TEST_SUITE_P(Reasons, CoapNack,
                         testing::Values(std::pair{COAP_NACK_TOO_MANY_RETRIES, BP_UNAVAILABLE},
                                         std::pair{COAP_NACK_NOT_DELIVERABLE, BP_UNAVAILABLE},
                                         std::pair{COAP_NACK_RST, BP_UNAVAILABLE},
                                         std::pair{COAP_NACK_ICMP_ISSUE, BP_UNAVAILABLE},
                                         std::pair{COAP_NACK_TLS_FAILED, BP_UNAUTHENTICATED}));

TEST(CoapErrorText, HasTheCodeAndTheDiagnosticWithoutControlCharacters) {
  const Status status = error_of_answer(code_of(404), "no\x1b[31m lamp");
  EXPECT_EQ(status.code(), BP_NOT_FOUND);
  EXPECT_EQ(status.native(), 404);
  EXPECT_EQ(status.domain(), "coap");
  EXPECT_EQ(status.message(), "the peer answered 4.04 Not Found: no [31m lamp");
  EXPECT_TRUE(error_of_answer(code_of(205), "").is_ok());
}

}  // namespace
}  // namespace backplane::coap
