// SPDX-License-Identifier: Apache-2.0
#include "error_map.hpp"

#include "settings.hpp"
#include <backplane/sdk/arena.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace backplane::opcua {
namespace {

using testing::HasSubstr;

TEST(OpcuaErrors, HaveTheNumberTheNameAndWhatToDo) {
  const Status status = bad_status(UA_STATUSCODE_BADUSERACCESSDENIED, "writing 'i=1'");
  EXPECT_EQ(status.code(), BP_PERMISSION_DENIED);
  EXPECT_EQ(static_cast<uint32_t>(status.native()), UA_STATUSCODE_BADUSERACCESSDENIED);
  EXPECT_EQ(status.domain(), "opcua");
  EXPECT_EQ(status.message(),
            "writing 'i=1': BadUserAccessDenied: this user may not; the server decides who may");
}

TEST(OpcuaErrors, OfWhichOnlyTheNameIsKnownAreUnknown) {
  const Status status = bad_status(UA_STATUSCODE_BADEVENTIDUNKNOWN, {});
  EXPECT_EQ(status.code(), BP_UNKNOWN);
  EXPECT_EQ(status.message(), "BadEventIdUnknown");
}

// Each service that there is an operation for has those that are its own.
TEST(OpcuaErrors, OfWhatThePluginOffersAreKnown) {
  for (const UA_StatusCode code :
       {UA_STATUSCODE_BADHISTORYOPERATIONUNSUPPORTED, UA_STATUSCODE_BADHISTORYOPERATIONINVALID,
        UA_STATUSCODE_BADNODEIDEXISTS, UA_STATUSCODE_BADBROWSENAMEDUPLICATED,
        UA_STATUSCODE_BADPARENTNODEIDINVALID, UA_STATUSCODE_BADREFERENCETYPEIDINVALID,
        UA_STATUSCODE_BADTYPEDEFINITIONINVALID, UA_STATUSCODE_BADDUPLICATEREFERENCENOTALLOWED,
        UA_STATUSCODE_BADEVENTFILTERINVALID, UA_STATUSCODE_BADMONITOREDITEMFILTERINVALID,
        UA_STATUSCODE_BADFILTEROPERATORUNSUPPORTED, UA_STATUSCODE_BADCERTIFICATEHOSTNAMEINVALID,
        UA_STATUSCODE_BADCERTIFICATEPOLICYCHECKFAILED, UA_STATUSCODE_BADTCPSERVERTOOBUSY,
        UA_STATUSCODE_BADTCPINTERNALERROR, UA_STATUSCODE_BADTCPNOTENOUGHRESOURCES,
        UA_STATUSCODE_BADTCPSECURECHANNELUNKNOWN, UA_STATUSCODE_BADTCPMESSAGETYPEINVALID,
        UA_STATUSCODE_BADTCPMESSAGETOOLARGE}) {
    EXPECT_NE(bad_status(code, {}).code(), BP_UNKNOWN) << UA_StatusCode_name(code);
  }
}

TEST(OpcuaErrors, KeepTheBitsThatHaveNoName) {
  const UA_StatusCode code = UA_STATUSCODE_BADSENSORFAILURE | 0x0480u;  // overflow
  EXPECT_EQ(bad_status(code, {}).code(), BP_UNAVAILABLE);
  EXPECT_EQ(static_cast<uint32_t>(bad_status(code, {}).native()), code);
}

TEST(OpcuaErrors, UncertainIsNotBad) {
  EXPECT_FALSE(is_bad(UA_STATUSCODE_GOOD));
  EXPECT_FALSE(is_bad(UA_STATUSCODE_UNCERTAIN));
  EXPECT_TRUE(is_bad(UA_STATUSCODE_BAD));
}

class OpcuaUrl : public testing::Test {
 protected:
  static Settings settings(std::string_view url) {
    const Pair pairs[] = {{"url", url},
                          {"connect_timeout_s", 1},
                          {"request_timeout_s", 1},
                          {"session_timeout_s", 60},
                          {"keepalive_s", 1},
                          {"publishing_s", 1},
                          {"max_requests", 1},
                          {"plain_password", false},
                          {"check_host_name", true}};
    return Settings(Config(ValueView::map({static_cast<const bp_pair*>(pairs), std::size(pairs)})));
  }
};

TEST_F(OpcuaUrl, HasAHostAndPerhapsAPortAndAPath) {
  EXPECT_EQ(settings("opc.tcp://plant.example").port, 4840);
  EXPECT_EQ(settings("opc.tcp://plant.example:4841/UA/Server").port, 4841);
  EXPECT_EQ(settings("opc.tcp://plant.example:4841/UA/Server").address, "plant.example");
  EXPECT_EQ(settings("opc.tcp://[::1]:4841").address, "::1");
}

TEST(OpcuaSettings, KeepTheSessionAlive) {
  const Pair pairs[] = {{"url", "opc.tcp://plant.example"},
                        {"connect_timeout_s", 1},
                        {"request_timeout_s", 1},
                        {"session_timeout_s", 5},
                        {"keepalive_s", 5},
                        {"publishing_s", 1},
                        {"max_requests", 1},
                        {"plain_password", false},
                        {"check_host_name", true}};
  const ValueView all = ValueView::map({static_cast<const bp_pair*>(pairs), std::size(pairs)});
  try {
    static_cast<void>(Settings(Config(all)));
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(std::string(error.status().message()),
                HasSubstr("keepalive_s must be less than session_timeout_s"));
  }
}

TEST_F(OpcuaUrl, ThatIsNoneIsRefusedWithWhatIsExpected) {
  for (const char* url : {"opc.tcp://", "opc.tcp://host:port", "http://host"}) {
    try {
      settings(url);
      ADD_FAILURE() << url;
    } catch (const Error& error) {
      EXPECT_THAT(std::string(error.status().message()), HasSubstr("opc.tcp://HOST[:PORT][/PATH]"));
    }
  }
}

}  // namespace
}  // namespace backplane::opcua
