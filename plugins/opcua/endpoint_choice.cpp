// SPDX-License-Identifier: Apache-2.0
#include "endpoint_choice.hpp"

#include "error_map.hpp"

#include <array>

namespace backplane::opcua {
namespace {

constexpr std::string_view kBinary =
    "http://opcfoundation.org/UA-Profile/Transport/uatcp-uasc-uabinary";
constexpr std::array<std::string_view, 4> kUsers = {"anonymous", "user name", "certificate",
                                                    "issued token"};

bool is_known_policy(std::string_view uri) noexcept {
  return uri == kNoPolicy || policy_with_uri(uri) != nullptr;
}

/// More is stronger; policies() begins with the strongest.
int strength(const Policy* policy) noexcept {
  return policy == nullptr ? 0 : static_cast<int>(policies().data() + policies().size() - policy);
}

bool is_usable(const UA_EndpointDescription& endpoint, const EndpointWanted& wanted) noexcept {
  const std::string_view transport = view(endpoint.transportProfileUri);
  const std::string_view uri = view(endpoint.securityPolicyUri);
  const Policy* const policy = policy_with_uri(uri);
  const bool is_none = endpoint.securityMode == UA_MESSAGESECURITYMODE_NONE;
  if ((!transport.empty() && transport != kBinary) || mode_name(endpoint.securityMode).empty() ||
      is_none != (uri == kNoPolicy) || !is_known_policy(uri)) {
    return false;
  }
  if (is_none) {
    return wanted.mode ? *wanted.mode == UA_MESSAGESECURITYMODE_NONE
                       : wanted.is_loopback && wanted.policy == nullptr;
  }
  return (!wanted.mode || *wanted.mode == endpoint.securityMode) &&
         (wanted.policy != nullptr ? wanted.policy == policy : !policy->is_deprecated);
}

struct Token {
  const UA_UserTokenPolicy* policy;
  const Policy* user;
};

/// That of an endpoint which suits the user best.
std::optional<Token> token_of(const UA_EndpointDescription& endpoint, const EndpointWanted& wanted,
                              bool& is_plain) noexcept {
  const bool is_encrypted = endpoint.securityMode == UA_MESSAGESECURITYMODE_SIGNANDENCRYPT;
  std::optional<Token> best;
  for (size_t i = 0; i < endpoint.userIdentityTokensSize; ++i) {
    const UA_UserTokenPolicy& each = endpoint.userIdentityTokens[i];
    const std::string_view uri = view(
        each.securityPolicyUri.length > 0 ? each.securityPolicyUri : endpoint.securityPolicyUri);
    if (each.tokenType != wanted.user || !is_known_policy(uri)) {
      continue;
    }
    if (wanted.user == UA_USERTOKENTYPE_ANONYMOUS) {
      return Token{&each, nullptr};
    }
    const Policy* const user = policy_with_uri(uri);
    const bool is_weak = user == nullptr || (user->is_deprecated && user != wanted.policy);
    if (wanted.user == UA_USERTOKENTYPE_CERTIFICATE && is_weak) {
      continue;  // who holds the key could not be proved
    }
    if (is_weak && !is_encrypted && !wanted.plain_password) {
      is_plain = true;
      continue;
    }
    if (!best || strength(user) > strength(best->user)) {
      best = Token{&each, user};
    }
  }
  return best;
}

/// The reason that comes first to whoever looks for it.
Status nothing_suits(std::span<const Endpoint> offered, const EndpointWanted& wanted,
                     bool any_usable, bool is_plain) {
  UA_StatusCode code = UA_STATUSCODE_BADSECURITYPOLICYREJECTED;
  std::string what = "no endpoint has the security that is asked for";
  if (is_plain) {
    code = UA_STATUSCODE_BADIDENTITYTOKENREJECTED;
    what =
        "the password would be readable on the way: use a secured endpoint, or allow it with "
        "plain_password = true";
  } else if (any_usable) {
    code = UA_STATUSCODE_BADIDENTITYTOKENREJECTED;
    what = concat("no endpoint takes this kind of user (", kUsers.at(wanted.user), ")",
                  wanted.user == UA_USERTOKENTYPE_ANONYMOUS ? ": give one with user" : "");
  } else if (!wanted.mode && wanted.policy == nullptr) {
    what = "there is no secured endpoint; without security: security_mode = \"none\"";
  }
  std::string list;
  for (const Endpoint& each : offered) {
    list += (list.empty() ? "" : ", ") + describe(*each);
  }
  return Status(code == UA_STATUSCODE_BADIDENTITYTOKENREJECTED ? BP_UNAUTHENTICATED
                                                               : BP_FAILED_PRECONDITION,
                std::string_view(UA_StatusCode_name(code)), ": ", what, "; the server offers ",
                list.empty() ? "nothing" : list)
      .with_native(static_cast<int32_t>(code), kDomain);
}

}  // namespace

bool Choice::is_same_as(const Choice& other) const noexcept {
  return endpoint->securityMode == other.endpoint->securityMode && channel == other.channel &&
         user == other.user &&
         view(endpoint->serverCertificate) == view(other.endpoint->serverCertificate) &&
         view(endpoint->server.applicationUri) == view(other.endpoint->server.applicationUri);
}

std::string describe(const UA_EndpointDescription& endpoint) {
  const std::string_view uri = view(endpoint.securityPolicyUri);
  const Policy* const policy = policy_with_uri(uri);
  const std::string_view mode = mode_name(endpoint.securityMode);
  std::string out(mode.empty() ? "no mode" : mode);
  if (policy != nullptr || uri != kNoPolicy) {
    out += concat(" ", policy != nullptr ? policy->name : "of an unknown policy");
  }
  std::string users;
  for (size_t i = 0; i < endpoint.userIdentityTokensSize; ++i) {
    const size_t type = endpoint.userIdentityTokens[i].tokenType;
    if (type < kUsers.size() && users.find(kUsers.at(type)) == std::string::npos) {
      users += concat(users.empty() ? "" : ", ", kUsers.at(type));
    }
  }
  return concat(out, " (", users.empty() ? "no user" : users, ")");
}

Result<Choice> choose(std::span<const Endpoint> offered, const EndpointWanted& wanted) {
  const UA_EndpointDescription* best = nullptr;
  Token best_token{};
  bool any_usable = false;
  bool is_plain = false;
  const auto rank = [](const UA_EndpointDescription& each, const Token& token) {
    return std::tuple(each.securityMode, strength(policy_with_uri(view(each.securityPolicyUri))),
                      strength(token.user));
  };
  for (const Endpoint& each : offered) {
    if (!is_usable(*each, wanted)) {
      continue;
    }
    any_usable = true;
    const auto token = token_of(*each, wanted, is_plain);
    if (token && (best == nullptr || rank(*each, *token) > rank(*best, best_token))) {
      best = each.get();
      best_token = *token;
    }
  }
  if (best == nullptr) {
    return nothing_suits(offered, wanted, any_usable, is_plain);
  }
  Choice out;
  out.endpoint = Endpoint::copy_of(*best);
  out.token = UserToken::copy_of(*best_token.policy);
  out.channel = policy_with_uri(view(best->securityPolicyUri));
  out.user = best_token.user;
  return out;
}

}  // namespace backplane::opcua
