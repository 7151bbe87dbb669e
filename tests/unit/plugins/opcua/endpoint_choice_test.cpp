// SPDX-License-Identifier: Apache-2.0
#include "endpoint_choice.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace backplane::opcua {
namespace {

using testing::HasSubstr;

constexpr auto kNone = UA_MESSAGESECURITYMODE_NONE;
constexpr auto kSign = UA_MESSAGESECURITYMODE_SIGN;
constexpr auto kEncrypt = UA_MESSAGESECURITYMODE_SIGNANDENCRYPT;
constexpr auto kAnonymous = UA_USERTOKENTYPE_ANONYMOUS;
constexpr auto kName = UA_USERTOKENTYPE_USERNAME;
constexpr auto kCertificate = UA_USERTOKENTYPE_CERTIFICATE;

std::string uri_of(const std::string& policy) {
  return policy.empty() ? "" : "http://opcfoundation.org/UA/SecurityPolicy#" + policy;
}

/// A kind of user, and the policy of its token; empty: the endpoint's.
using Tokens = std::vector<std::pair<UA_UserTokenType, std::string>>;

Endpoint endpoint(UA_MessageSecurityMode mode, const std::string& policy,
                  const Tokens& tokens = {{kAnonymous, ""}}) {
  Endpoint out;
  out->securityMode = mode;
  out->securityPolicyUri = allocated(uri_of(policy));
  for (const auto& [type, token_policy] : tokens) {
    UserToken token;
    token->tokenType = type;
    token->policyId = allocated(token_policy);
    if (!token_policy.empty()) {
      token->securityPolicyUri = allocated(uri_of(token_policy));
    }
    EXPECT_EQ(UA_Array_appendCopy(reinterpret_cast<void**>(&out->userIdentityTokens),
                                  &out->userIdentityTokensSize, token.get(), &token.type()),
              UA_STATUSCODE_GOOD);
  }
  return out;
}

template <class... Each>
std::vector<Endpoint> list(Each... each) {
  std::vector<Endpoint> out;
  (out.push_back(std::move(each)), ...);
  return out;
}

/// What is chosen, in words; or the error's.
std::string chosen(const std::vector<Endpoint>& offered, const EndpointWanted& wanted) {
  const auto choice = choose(offered, wanted);
  if (!choice) {
    return std::string(choice.status().message());
  }
  return concat(mode_name(choice->endpoint->securityMode), " ",
                choice->channel != nullptr ? choice->channel->name : "-", ", token ",
                choice->user != nullptr ? choice->user->name : "-");
}

TEST(OpcuaEndpointChoice, IsTheStrongestWhateverTheOrder) {
  EXPECT_EQ(chosen(list(endpoint(kNone, "None"), endpoint(kSign, "Aes256_Sha256_RsaPss"),
                        endpoint(kEncrypt, "Basic256Sha256"),
                        endpoint(kEncrypt, "Aes128_Sha256_RsaOaep"), endpoint(kSign, "Basic256")),
                   {}),
            "sign_and_encrypt Aes128_Sha256_RsaOaep, token -");
  EXPECT_EQ(
      chosen(list(endpoint(kSign, "Basic256Sha256"), endpoint(kSign, "Aes256_Sha256_RsaPss")), {}),
      "sign Aes256_Sha256_RsaPss, token -");
}

TEST(OpcuaEndpointChoice, DoesNotDependOnTheLevelThatTheServerGives) {
  auto offered = list(endpoint(kSign, "Basic256Sha256"), endpoint(kEncrypt, "Basic256Sha256"));
  offered[0]->securityLevel = 255;
  EXPECT_EQ(chosen(offered, {}), "sign_and_encrypt Basic256Sha256, token -");
}

TEST(OpcuaEndpointChoice, IsNeverWithoutSecurityUnlessThatIsSaid) {
  const auto offered = list(endpoint(kNone, "None"));
  EXPECT_THAT(
      chosen(offered, {}),
      HasSubstr("BadSecurityPolicyRejected: there is no secured endpoint; without security: "
                "security_mode = \"none\"; the server offers none (anonymous)"));
  EXPECT_EQ(chosen(offered, {.mode = kNone}), "none -, token -");
}

TEST(OpcuaEndpointChoice, IsWithoutSecurityOnALoopbackAddressIfThereIsNoOther) {
  EXPECT_EQ(chosen(list(endpoint(kNone, "None")), {.is_loopback = true}), "none -, token -");
  EXPECT_EQ(chosen(list(endpoint(kNone, "None"), endpoint(kSign, "Basic256Sha256")),
                   {.is_loopback = true}),
            "sign Basic256Sha256, token -");
  EXPECT_THAT(chosen(list(endpoint(kNone, "None")), {.mode = kSign, .is_loopback = true}),
              HasSubstr("no endpoint has the security that is asked for"));
  EXPECT_THAT(chosen(list(endpoint(kNone, "None")),
                     {.policy = policy_with_name("Basic256Sha256"), .is_loopback = true}),
              HasSubstr("no endpoint has the security that is asked for"));
}

TEST(OpcuaEndpointChoice, TakesADeprecatedPolicyOnlyByItsName) {
  const auto offered = list(endpoint(kEncrypt, "Basic128Rsa15"), endpoint(kSign, "Basic256"));
  EXPECT_THAT(chosen(offered, {}), HasSubstr("there is no secured endpoint"));
  EXPECT_EQ(chosen(offered, {.policy = policy_with_name("Basic256")}), "sign Basic256, token -");
}

TEST(OpcuaEndpointChoice, PassesOverWhatIsNotKnown) {
  EXPECT_THAT(chosen(list(endpoint(kEncrypt, "ECC_nistP256"),
                          endpoint(UA_MESSAGESECURITYMODE_INVALID, "None"),
                          endpoint(kEncrypt, "None"), endpoint(kNone, "Basic256Sha256")),
                     {.is_loopback = true}),
              HasSubstr("sign_and_encrypt of an unknown policy (anonymous), no mode (anonymous)"));
  EXPECT_THAT(chosen({}, {}), HasSubstr("the server offers nothing"));
}

TEST(OpcuaEndpointChoice, IsOneThatTakesTheUser) {
  const auto offered = list(endpoint(kEncrypt, "Basic256Sha256", {{kName, ""}}),
                            endpoint(kSign, "Basic256Sha256", {{kAnonymous, ""}}));
  EXPECT_EQ(chosen(offered, {}), "sign Basic256Sha256, token -");
  EXPECT_EQ(chosen(offered, {.user = kName}),
            "sign_and_encrypt Basic256Sha256, token Basic256Sha256");
  EXPECT_THAT(
      chosen(offered, {.user = kCertificate}),
      HasSubstr("BadIdentityTokenRejected: no endpoint takes this kind of user (certificate)"));
  EXPECT_THAT(chosen(list(endpoint(kSign, "Basic256Sha256", {{kName, ""}})), {}),
              HasSubstr("(anonymous): give one with user"));
}

TEST(OpcuaEndpointChoice, SendsAPasswordSoThatNobodyReadsIt) {
  const auto plain = list(endpoint(kNone, "None", {{kName, ""}}));
  EXPECT_THAT(chosen(plain, {.mode = kNone, .user = kName}),
              HasSubstr("the password would be readable on the way"));
  EXPECT_EQ(chosen(plain, {.mode = kNone, .user = kName, .plain_password = true}),
            "none -, token -");
  EXPECT_THAT(chosen(list(endpoint(kSign, "Basic256Sha256", {{kName, "None"}})), {.user = kName}),
              HasSubstr("the password would be readable on the way"));
  EXPECT_EQ(chosen(list(endpoint(kEncrypt, "Basic256Sha256", {{kName, "None"}})), {.user = kName}),
            "sign_and_encrypt Basic256Sha256, token -")
      << "inside the channel";
  EXPECT_EQ(chosen(list(endpoint(kNone, "None", {{kName, "None"}, {kName, "Basic256Sha256"}})),
                   {.mode = kNone, .user = kName}),
            "none -, token Basic256Sha256")
      << "encrypted by itself";
  EXPECT_THAT(chosen(list(endpoint(kNone, "None", {{kName, "Basic128Rsa15"}})),
                     {.mode = kNone, .user = kName}),
              HasSubstr("the password would be readable on the way"));
}

TEST(OpcuaEndpointChoice, ProvesAUsersCertificate) {
  EXPECT_THAT(chosen(list(endpoint(kEncrypt, "Basic256Sha256", {{kCertificate, "None"}})),
                     {.user = kCertificate}),
              HasSubstr("no endpoint takes this kind of user"));
  EXPECT_EQ(chosen(list(endpoint(kEncrypt, "Basic256Sha256",
                                 {{kCertificate, "Aes128_Sha256_RsaOaep"}, {kCertificate, ""}})),
                   {.user = kCertificate}),
            "sign_and_encrypt Basic256Sha256, token Aes128_Sha256_RsaOaep");
}

TEST(OpcuaEndpointChoice, IsAnotherWhenAnythingThatProtectsIsAnother) {
  const auto offered = list(endpoint(kSign, "Basic256Sha256"));
  const auto more = list(endpoint(kSign, "Basic256Sha256"), endpoint(kEncrypt, "Basic256Sha256"));
  auto other = list(endpoint(kSign, "Basic256Sha256"));
  other[0]->serverCertificate = allocated("another");
  const Choice first = choose(offered, {}).value();
  EXPECT_TRUE(first.is_same_as(choose(offered, {}).value()));
  EXPECT_FALSE(first.is_same_as(choose(more, {}).value()));
  EXPECT_FALSE(first.is_same_as(choose(other, {}).value()));
}

TEST(OpcuaPolicies, AreKnownByNameAndUri) {
  EXPECT_EQ(policies().size(), 5u);
  for (const Policy& each : policies()) {
    EXPECT_EQ(policy_with_name(each.name), &each);
    EXPECT_EQ(policy_with_uri(uri_of(std::string(each.name))), &each);
  }
  EXPECT_EQ(policy_with_uri(kNoPolicy), nullptr);
  EXPECT_EQ(mode_with_name("sign"), kSign);
  EXPECT_EQ(mode_with_name("Sign"), std::nullopt);
}

}  // namespace
}  // namespace backplane::opcua
