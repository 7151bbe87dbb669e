// SPDX-License-Identifier: Apache-2.0
// The security of one instance, client or server: who we are, whom we trust, and what a channel is
// made of.
//
// Design notes.
// - The identity is that of the credential; else that in the store, which is made the first time
//   that it is needed. Making takes long, so on the loop a thread does it.
// - All of it is read anew for each session: renewed files count from the next one on.
#pragma once

#include "endpoint_choice.hpp"
#include "identity.hpp"
#include "settings.hpp"
#include "trust.hpp"
#include <backplane/sdk/tls_credential.hpp>

#include <open62541/client.h>
#include <thread>

namespace backplane::opcua {

/// Whom a session is for.
struct User {
  UA_UserTokenType type = UA_USERTOKENTYPE_ANONYMOUS;
  std::string name;
  Buffer password;  // the kernel's, which wipes it
  std::shared_ptr<const Identity> certificate;
};

class Security {
 public:
  /// `host` and `settings` outlive it. `application_uri`: what an identity is made for; empty: the
  /// default.
  Security(const Host& host, const SecuritySettings& settings, std::string application_uri = {},
           std::function<std::string()> peer = {});
  /// Waits for a key that is being made.
  ~Security();
  Security(const Security&) = delete;
  Security& operator=(const Security&) = delete;

  const Trust& trust() const noexcept { return trust_; }

  /// The application's identity; made if there is none. `done` is called once, perhaps inside this,
  /// unless somebody asks again before. [loop]
  using Answer = Result<std::shared_ptr<const Identity>>;
  void identity(std::function<void(const Answer&)> done);
  /// The same for a thread that may wait. Throws Error. [control]
  std::shared_ptr<const Identity> identity_now();

  /// That of the configuration. Reads small files. Throws Error.
  User user();

  /// A client's configuration for an endpoint. `identity` may be null where nothing is secured.
  /// Throws Error.
  void secure(UA_ClientConfig& config, const Choice& choice, const Identity* identity,
              const User& user) const;

 private:
  std::shared_ptr<const Identity> present();
  std::shared_ptr<const Identity> noticed(std::shared_ptr<const Identity> identity);

  const Host& host_;
  const SecuritySettings& settings_;
  const std::string application_uri_;
  tls::Credential application_;
  tls::Credential user_;
  Trust trust_;
  tls::ExpiryWatch expiry_;
  std::function<void(const Answer&)> done_;
  Answer made_ = Status(BP_UNAVAILABLE);  // the thread's, until it is joined
  Wakeup has_made_;
  std::thread thread_;
};

}  // namespace backplane::opcua
