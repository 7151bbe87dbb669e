// SPDX-License-Identifier: Apache-2.0
// Which of a server's endpoints is used, and by which of the user's tokens that it takes.
//
// Design notes. What a server lists is not believed yet, whoever sends it: nothing here makes a
// channel weaker than the configuration allows.
// - Mode first: encrypted, signed, none; then the strongest policy. One that is deprecated is taken
//   only where the configuration names it.
// - No security: where the configuration says so; or on a loopback address, if nothing else takes
//   this user.
// - A password is sent encrypted: by its token's policy, or inside an encrypted channel.
#pragma once

#include "policies.hpp"
#include <backplane/sdk/result.hpp>

namespace backplane::opcua {

using Endpoint = Native<UA_EndpointDescription, UA_TYPES_ENDPOINTDESCRIPTION>;
using UserToken = Native<UA_UserTokenPolicy, UA_TYPES_USERTOKENPOLICY>;

struct EndpointWanted {
  std::optional<UA_MessageSecurityMode> mode = {};  // nothing: the best there is
  const Policy* policy = nullptr;                   // null: the strongest there is
  UA_UserTokenType user = UA_USERTOKENTYPE_ANONYMOUS;
  bool is_loopback = false;
  bool plain_password = false;
};

struct Choice {
  Endpoint endpoint;
  UserToken token;
  const Policy* channel = nullptr;  // null: none
  const Policy* user = nullptr;     // what encrypts or signs the token; null: nothing
  /// The server's certificate is used, so it must be known.
  bool needs_certificate() const noexcept { return channel != nullptr || user != nullptr; }
  /// Who reads along cannot have changed it to this.
  bool is_same_as(const Choice& other) const noexcept;
};

/// FAILED_PRECONDITION or UNAUTHENTICATED with the native code, what is offered, and what to do.
Result<Choice> choose(std::span<const Endpoint> offered, const EndpointWanted& wanted);

/// "sign_and_encrypt Basic256Sha256 (anonymous, user name)".
std::string describe(const UA_EndpointDescription& endpoint);

}  // namespace backplane::opcua
