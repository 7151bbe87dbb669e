// SPDX-License-Identifier: Apache-2.0
#include "security.hpp"

#include "connection.hpp"
#include "policy_list.hpp"

namespace backplane::opcua {
namespace {

template <class T, int Type>
void set_token(UA_ClientConfig& config, Native<T, Type>& token) {
  UA_ExtensionObject_setValueCopy(&config.userIdentityToken, token.get(), &token.type());
  if (config.userIdentityToken.encoding == UA_EXTENSIONOBJECT_ENCODED_NOBODY) {
    throw std::bad_alloc();
  }
}

void set_user(UA_ClientConfig& config, const User& user) {
  if (user.type == UA_USERTOKENTYPE_CERTIFICATE) {
    Native<UA_X509IdentityToken, UA_TYPES_X509IDENTITYTOKEN> token;
    const auto& der = user.certificate->certificate;
    token->certificateData = allocated({reinterpret_cast<const char*>(der.data()), der.size()});
    set_token(config, token);
  } else if (user.type == UA_USERTOKENTYPE_USERNAME) {
    Native<UA_UserNameIdentityToken, UA_TYPES_USERNAMEIDENTITYTOKEN> token;
    token->userName = allocated(user.name);
    token->password = allocated(user.password.text());
    set_token(config, token);
  }
}

/// The one that was chosen, so that the library has nothing to choose.
Endpoint endpoint_of(const Choice& choice, std::string_view url) {
  Endpoint out = Endpoint::copy_of(*choice.endpoint);
  // By which the server knows itself; see tcp.hpp.
  if (!view(out->endpointUrl).starts_with("opc.tcp://")) {
    replace(out->endpointUrl, url);
  }
  // The library compares it with the first of those that the server shows.
  const std::string leaf(first_certificate(view(out->serverCertificate)));
  replace(out->serverCertificate, leaf);

  UserToken token = UserToken::copy_of(*choice.token);
  // Nor does the library know a token that it shall not encrypt but by this.
  replace(token->securityPolicyUri, choice.user != nullptr ? choice.user->uri : kNoPolicy);
  UA_Array_delete(out->userIdentityTokens, out->userIdentityTokensSize, &UserToken::type());
  out->userIdentityTokensSize = 0;
  out->userIdentityTokens = nullptr;
  if (UA_Array_appendCopy(reinterpret_cast<void**>(&out->userIdentityTokens),
                          &out->userIdentityTokensSize, token.get(),
                          &UserToken::type()) != UA_STATUSCODE_GOOD) {
    throw std::bad_alloc();
  }
  return out;
}

}  // namespace

Security::Security(const Host& host, const SecuritySettings& settings, std::string application_uri,
                   std::function<std::string()> peer)
    : host_(host),
      settings_(settings),
      application_uri_(application_uri.empty() ? default_application_uri(host.system())
                                               : std::move(application_uri)),
      application_(host, settings.credentials),
      user_(host, settings.user),
      trust_(host, pki::Store(settings.pki),
             {settings.policy != nullptr && settings.policy->is_deprecated,
              [this]() -> std::shared_ptr<const tls::Material> {
                return settings_.credentials.empty() ? nullptr : application_.fetch();
              },
              std::move(peer)}),
      expiry_(host, "own"),
      has_made_(host, [this] {
        thread_.join();  // its last act was to post this
        if (made_.is_ok()) {
          host_.log().info("an identity was made",
                           {{"application_uri", (*made_)->application_uri},
                            {"thumbprint", (*made_)->thumbprint},
                            {"file", trust_.store().identity_file().string()}});
          noticed(*made_);
        }
        if (const auto done = std::exchange(done_, nullptr)) {
          done(made_);
        }
      }) {}

Security::~Security() {
  if (thread_.joinable()) {
    thread_.join();
  }
}

/// Null: there is none yet.
std::shared_ptr<const Identity> Security::present() {
  if (!settings_.credentials.empty()) {
    const auto material = application_.fetch();
    if (material->certificate) {
      return Identity::of(concat("credential '", settings_.credentials, "'"),
                          *material->certificate, *material->key);
    }
  }
  return noticed(kept_identity(trust_.store()));
}

/// Somebody will want to know when it ends.
std::shared_ptr<const Identity> Security::noticed(std::shared_ptr<const Identity> identity) {
  if (identity) {
    const unsigned char* der = identity->certificate.data();
    const tls::Certificate certificate(
        d2i_X509(nullptr, &der, static_cast<long>(identity->certificate.size())));
    expiry_.watch(*certificate);
  }
  return identity;
}

void Security::identity(std::function<void(const Answer&)> done) {
  if (thread_.joinable()) {
    done_ = std::move(done);
    return;
  }
  Answer found = std::shared_ptr<const Identity>();
  boundary([&] { found = present(); }, [&](const Status& status) { found = status; });
  if (!found || *found != nullptr) {
    return done(found);
  }
  done_ = std::move(done);
  thread_ = std::thread([this] {
    boundary(
        [&] { made_ = kept_or_new_identity(trust_.store(), application_uri_); },
        [&](const Status& status) { made_ = Status(status).with_context("making an identity"); });
    while (has_made_.post().is_error()) {
      std::this_thread::yield();  // no memory for a task: nobody else can say that it has ended
    }
  });
}

std::shared_ptr<const Identity> Security::identity_now() {
  auto found = present();
  return found ? found : noticed(kept_or_new_identity(trust_.store(), application_uri_));
}

User Security::user() {
  User out;
  if (settings_.user.empty()) {
    return out;
  }
  const auto field = [this](const char* name) {
    auto value = host_.credential(settings_.user, name);
    if (!value && value.status().code() != BP_NOT_FOUND) {
      value.or_throw();
    }
    return std::move(value).value_or(Buffer());
  };
  const Buffer name = field("user");
  const auto material = user_.fetch();
  const std::string where = concat("credential '", settings_.user, "'");
  if (material->certificate && !name) {
    out.type = UA_USERTOKENTYPE_CERTIFICATE;
    out.certificate = Identity::of(where, *material->certificate, *material->key, false);
  } else if (name && !material->certificate) {
    out.type = UA_USERTOKENTYPE_USERNAME;
    out.name = name.text();
    out.password = field("password");
  } else {
    throw Error(BP_INVALID_ARGUMENT, where,
                ": a user has either user and password, or certificate "
                "and key");
  }
  return out;
}

void Security::secure(UA_ClientConfig& config, const Choice& choice, const Identity* identity,
                      const User& user) const {
  config.certificateVerification = trust_.native(config.logging);
  replace(config.clientDescription.applicationUri,
          identity != nullptr ? identity->application_uri : application_uri_);
  config.endpoint = endpoint_of(choice, view(config.endpointUrl)).release();
  replace(config.endpointUrl, view(config.endpoint.endpointUrl));

  constexpr size_t kMost = 3;
  PolicyList channel(config.securityPolicies, config.securityPoliciesSize, kMost, config.logging);
  channel.add_none();  // also for a token that names no policy
  if (choice.channel != nullptr) {
    channel.add(*choice.channel, *identity);
  }
  if (choice.user != nullptr) {
    if (choice.user != choice.channel) {
      channel.add(*choice.user, *identity);
    }
    PolicyList tokens(config.authSecurityPolicies, config.authSecurityPoliciesSize, 1,
                      config.logging);
    tokens.add(*choice.user, user.certificate ? *user.certificate : *identity);
  }
  set_user(config, user);
}

}  // namespace backplane::opcua
