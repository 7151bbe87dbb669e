// SPDX-License-Identifier: Apache-2.0
#include "error_map.hpp"

#include <gtest/gtest.h>
#include <mosquitto.h>

#include <cerrno>
#include <map>

namespace backplane::mqtt {
namespace {

// MQTT 5, section 2.4, table 2-6: every reason code.
const std::map<int, bp_status> kReasons = {
    {0x00, BP_OK},
    {0x01, BP_OK},
    {0x02, BP_OK},
    {0x04, BP_OK},
    {0x10, BP_OK},
    {0x11, BP_OK},
    {0x18, BP_OK},
    {0x19, BP_OK},
    {0x80, BP_UNKNOWN},
    {0x81, BP_INTERNAL},
    {0x82, BP_INTERNAL},
    {0x83, BP_UNKNOWN},
    {0x84, BP_UNIMPLEMENTED},
    {0x85, BP_INVALID_ARGUMENT},
    {0x86, BP_UNAUTHENTICATED},
    {0x87, BP_PERMISSION_DENIED},
    {0x88, BP_UNAVAILABLE},
    {0x89, BP_UNAVAILABLE},
    {0x8A, BP_PERMISSION_DENIED},
    {0x8B, BP_UNAVAILABLE},
    {0x8C, BP_UNAUTHENTICATED},
    {0x8D, BP_UNAVAILABLE},
    {0x8E, BP_ABORTED},
    {0x8F, BP_INVALID_ARGUMENT},
    {0x90, BP_INVALID_ARGUMENT},
    {0x91, BP_INTERNAL},
    {0x92, BP_INTERNAL},
    {0x93, BP_RESOURCE_EXHAUSTED},
    {0x94, BP_INTERNAL},
    {0x95, BP_RESOURCE_EXHAUSTED},
    {0x96, BP_RESOURCE_EXHAUSTED},
    {0x97, BP_RESOURCE_EXHAUSTED},
    {0x98, BP_UNAVAILABLE},
    {0x99, BP_INVALID_ARGUMENT},
    {0x9A, BP_UNIMPLEMENTED},
    {0x9B, BP_UNIMPLEMENTED},
    {0x9C, BP_UNAVAILABLE},
    {0x9D, BP_FAILED_PRECONDITION},
    {0x9E, BP_UNIMPLEMENTED},
    {0x9F, BP_UNAVAILABLE},
    {0xA0, BP_UNAVAILABLE},
    {0xA1, BP_UNIMPLEMENTED},
    {0xA2, BP_UNIMPLEMENTED},
};

TEST(ErrorMap, HasEveryReasonCodeOfMqtt5) {
  for (const auto& [reason, expected] : kReasons) {
    EXPECT_EQ(code_of_reason(Packet::kPuback, static_cast<uint8_t>(reason)), expected)
        << std::hex << reason;
  }
}

TEST(ErrorMap, TakesUnknownReasonsByTheirHighestBit) {
  for (int reason = 0; reason < 256; ++reason) {
    if (!kReasons.contains(reason)) {
      EXPECT_EQ(code_of_reason(Packet::kPuback, static_cast<uint8_t>(reason)),
                reason < 0x80 ? BP_OK : BP_UNKNOWN)
          << reason;
    }
  }
}

TEST(ErrorMap, SaysUnauthenticatedWhileNobodyIsKnownYet) {
  EXPECT_EQ(code_of_reason(Packet::kConnack, 0x87), BP_UNAUTHENTICATED);
  EXPECT_EQ(code_of_reason(Packet::kSuback, 0x87), BP_PERMISSION_DENIED);
}

TEST(ErrorMap, HasEveryReturnCodeOfMqtt311) {
  const bp_status connack[] = {BP_OK,          BP_UNIMPLEMENTED,   BP_INVALID_ARGUMENT,
                               BP_UNAVAILABLE, BP_UNAUTHENTICATED, BP_UNAUTHENTICATED};
  for (uint8_t code = 0; code < 6; ++code) {
    EXPECT_EQ(code_of_return(Packet::kConnack, code), connack[code]) << int{code};
  }
  EXPECT_EQ(code_of_return(Packet::kConnack, 6), BP_UNKNOWN);
  for (uint8_t granted = 0; granted < 3; ++granted) {
    EXPECT_EQ(code_of_return(Packet::kSuback, granted), BP_OK);
  }
  EXPECT_EQ(code_of_return(Packet::kSuback, 0x80), BP_UNKNOWN);
}

TEST(ErrorMap, HasEveryCodeOfTheLibrary) {
  const std::map<int, bp_status> expected = {
      {MOSQ_ERR_CONN_PENDING, BP_OK},
      {MOSQ_ERR_SUCCESS, BP_OK},
      {MOSQ_ERR_NOMEM, BP_RESOURCE_EXHAUSTED},
      {MOSQ_ERR_PROTOCOL, BP_INTERNAL},
      {MOSQ_ERR_INVAL, BP_INVALID_ARGUMENT},
      {MOSQ_ERR_NO_CONN, BP_UNAVAILABLE},
      {MOSQ_ERR_CONN_REFUSED, BP_UNAVAILABLE},
      {MOSQ_ERR_NOT_FOUND, BP_INTERNAL},
      {MOSQ_ERR_CONN_LOST, BP_UNAVAILABLE},
      {MOSQ_ERR_TLS, BP_UNAUTHENTICATED},
      {MOSQ_ERR_PAYLOAD_SIZE, BP_RESOURCE_EXHAUSTED},
      {MOSQ_ERR_NOT_SUPPORTED, BP_UNIMPLEMENTED},
      {MOSQ_ERR_AUTH, BP_UNAUTHENTICATED},
      {MOSQ_ERR_ACL_DENIED, BP_PERMISSION_DENIED},
      {MOSQ_ERR_UNKNOWN, BP_INTERNAL},
      {MOSQ_ERR_EAI, BP_UNAVAILABLE},
      {MOSQ_ERR_PROXY, BP_UNAVAILABLE},
      {MOSQ_ERR_MALFORMED_UTF8, BP_INVALID_ARGUMENT},
      {MOSQ_ERR_KEEPALIVE, BP_UNAVAILABLE},
      {MOSQ_ERR_LOOKUP, BP_UNAVAILABLE},
      {MOSQ_ERR_MALFORMED_PACKET, BP_INTERNAL},
      {MOSQ_ERR_DUPLICATE_PROPERTY, BP_INVALID_ARGUMENT},
      {MOSQ_ERR_TLS_HANDSHAKE, BP_UNAUTHENTICATED},
      {MOSQ_ERR_QOS_NOT_SUPPORTED, BP_UNIMPLEMENTED},
      {MOSQ_ERR_OVERSIZE_PACKET, BP_RESOURCE_EXHAUSTED},
  };
  for (const auto& [result, code] : expected) {
    EXPECT_EQ(code_of_library(result, 0), code) << mosquitto_strerror(result);
  }
  EXPECT_EQ(code_of_library(MOSQ_ERR_ERRNO, ECONNREFUSED), BP_UNAVAILABLE);
  EXPECT_EQ(code_of_library(MOSQ_ERR_ERRNO, EACCES), BP_PERMISSION_DENIED);
}

TEST(ErrorMap, KeepsTheNativeNumberAndItsDomain) {
  const Status reason = from_reason(5, Packet::kPuback, 0x97, "publish to 'a'");
  EXPECT_EQ(reason.native(), 0x97);
  EXPECT_EQ(reason.domain(), "mqtt");
  EXPECT_TRUE(reason.message().starts_with("publish to 'a': ")) << reason.message();

  const Status refused = from_library(MOSQ_ERR_ERRNO, ECONNREFUSED, "connecting");
  EXPECT_EQ(refused.native(), ECONNREFUSED);
  EXPECT_EQ(refused.domain(), "errno");
  EXPECT_NE(refused.message().find("refused"), std::string_view::npos) << refused.message();
}

TEST(ErrorMap, HasATextForAKeepAliveThatTheLibraryHasNoneFor) {
  const Status lost = from_library(MOSQ_ERR_KEEPALIVE, 0, "the connection");
  EXPECT_EQ(lost.code(), BP_UNAVAILABLE);
  EXPECT_NE(lost.message().find("keep_alive_s"), std::string_view::npos) << lost.message();
}

TEST(ErrorMap, SaysWhatToDoWhenTheBrokerDoesNotSpeakTheVersion) {
  const Status status = from_reason(5, Packet::kConnack, 0x84, "connect");
  EXPECT_EQ(status.code(), BP_UNIMPLEMENTED);
  EXPECT_NE(status.message().find("set version = 4"), std::string_view::npos) << status.message();
}

TEST(ErrorMap, DoesNotCallAMessageThatIsTooLargeWorthARetry) {
  EXPECT_FALSE(from_reason(5, Packet::kPuback, 0x95, "publish").retry());
  EXPECT_FALSE(from_library(MOSQ_ERR_OVERSIZE_PACKET, 0, "publish").retry());
  EXPECT_TRUE(from_reason(5, Packet::kPuback, 0x97, "publish").retry());
}

TEST(ErrorMap, TellsARefusalThatLastsFromAnAbsence) {
  EXPECT_TRUE(is_lasting(from_reason(5, Packet::kConnack, 0x86, "connect")));
  EXPECT_TRUE(is_lasting(from_reason(4, Packet::kConnack, 1, "connect")));
  EXPECT_FALSE(is_lasting(from_reason(5, Packet::kConnack, 0x88, "connect")));
  EXPECT_FALSE(is_lasting(from_library(MOSQ_ERR_CONN_LOST, 0, "connect")));
}

}  // namespace
}  // namespace backplane::mqtt
