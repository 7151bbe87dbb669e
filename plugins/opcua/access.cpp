// SPDX-License-Identifier: Apache-2.0
#include "access.hpp"

#include <algorithm>

namespace backplane::opcua {
namespace {

void add_policy(UA_AccessControl& access, UA_UserTokenType type, std::string_view id) {
  UA_UserTokenPolicy policy;
  UA_UserTokenPolicy_init(&policy);
  policy.tokenType = type;
  policy.policyId = borrowed(id);
  if (UA_Array_appendCopy(reinterpret_cast<void**>(&access.userTokenPolicies),
                          &access.userTokenPoliciesSize, &policy,
                          &UA_TYPES[UA_TYPES_USERTOKENPOLICY]) != UA_STATUSCODE_GOOD) {
    throw std::bad_alloc();
  }
}

const Access::User* user_in(void* session_context) noexcept {
  return static_cast<const Access::User*>(session_context);
}

/// Ours have a context; the standard's, and properties, have none.
bool is_declared(const UA_NodeId& id, const void* context) noexcept {
  return id.namespaceIndex != 0 && context != nullptr;
}

/// Null: nobody has logged in.
bool may(const Access::User* user, const Method& method) noexcept {
  return user != nullptr && (user->roles & method.declared().callers) != 0;
}

bool may_execute(void* session_context, const UA_NodeId& id, void* context) noexcept {
  return !is_declared(id, context) ||
         may(user_in(session_context), *static_cast<const Method*>(context));
}

/// Null: it is none that the library knows.
const UA_DataType* type_of(const UA_ExtensionObject& token) noexcept {
  return token.encoding == UA_EXTENSIONOBJECT_DECODED ||
                 token.encoding == UA_EXTENSIONOBJECT_DECODED_NODELETE
             ? token.content.decoded.type
             : nullptr;
}

}  // namespace

Access::Access(const Host& host, const ServerSettings& settings,
               std::function<uintptr_t()> connection, std::function<std::string()> peer)
    : host_(host),
      settings_(settings),
      is_for_all_(std::all_of(settings.variables.begin(), settings.variables.end(),
                              [](const DeclaredVariable& each) {
                                return each.readers == kEverybody && each.writers == kEverybody;
                              })),
      connection_(std::move(connection)),
      peer_(std::move(peer)),
      refused_(host.counter("opcua_logins_refused_total")),
      sessions_(host.gauge("opcua_sessions")) {
  users_.push_back({"", kAnonymous});
  for (const DeclaredUser& each : settings.users) {
    users_.push_back({each.credential, each.roles});
  }
}

void Access::put_into(UA_ServerConfig& config) {
  UA_AccessControl& access = config.accessControl;
  access.context = this;
  access.clear = [](UA_AccessControl* each) {
    UA_Array_delete(each->userTokenPolicies, each->userTokenPoliciesSize,
                    &UA_TYPES[UA_TYPES_USERTOKENPOLICY]);
    each->userTokenPolicies = nullptr;
    each->userTokenPoliciesSize = 0;
  };
  if (settings_.takes_anonymous) {
    add_policy(access, UA_USERTOKENTYPE_ANONYMOUS, "anonymous");
  }
  if (!settings_.users.empty()) {
    add_policy(access, UA_USERTOKENTYPE_USERNAME, "user");
    add_policy(access, UA_USERTOKENTYPE_CERTIFICATE, "certificate");
  }
  access.activateSession = [](UA_Server*, UA_AccessControl* self, const UA_EndpointDescription*,
                              const UA_ByteString*, const UA_NodeId* session,
                              const UA_ExtensionObject* token, void** user) {
    UA_StatusCode status = UA_STATUSCODE_BADOUTOFMEMORY;
    boundary([&] { status = of(self).activate(*session, *token, *user); },
             [](const Status&) noexcept {});
    return status;
  };
  access.closeSession = [](UA_Server*, UA_AccessControl* self, const UA_NodeId*, void* session) {
    of(self).session_ended(session);
  };
  access.getUserRightsMask = [](UA_Server*, UA_AccessControl*, const UA_NodeId*, void*,
                                const UA_NodeId*, void*) -> UA_UInt32 { return 0; };
  access.getUserAccessLevel = [](UA_Server*, UA_AccessControl* self, const UA_NodeId*,
                                 void* session, const UA_NodeId* id, void* context) -> UA_Byte {
    // A subscription without a session goes on with what it was allowed to begin.
    if (session == nullptr || of(self).is_for_all_ || !is_declared(*id, context)) {
      return 0xff;
    }
    const Variable& variable = *static_cast<const Variable*>(context);
    const RoleSet roles = user_in(session)->roles;
    unsigned out = 0xff;
    if ((roles & variable.readers()) == 0) {
      out &= ~unsigned{UA_ACCESSLEVELMASK_READ | UA_ACCESSLEVELMASK_HISTORYREAD};
    }
    if ((roles & variable.writers()) == 0) {
      out &= ~unsigned{UA_ACCESSLEVELMASK_WRITE | UA_ACCESSLEVELMASK_STATUSWRITE |
                       UA_ACCESSLEVELMASK_TIMESTAMPWRITE};
    }
    return static_cast<UA_Byte>(out);
  };
  access.getUserExecutable = [](UA_Server*, UA_AccessControl*, const UA_NodeId*, void* session,
                                const UA_NodeId* id,
                                void* context) { return may_execute(session, *id, context); };
  access.getUserExecutableOnObject =
      [](UA_Server*, UA_AccessControl*, const UA_NodeId*, void* session, const UA_NodeId* id,
         void* context, const UA_NodeId*, void*) { return may_execute(session, *id, context); };
  access.allowAddNode = [](UA_Server*, UA_AccessControl*, const UA_NodeId*, void*,
                           const UA_AddNodesItem*) { return false; };
  access.allowAddReference = [](UA_Server*, UA_AccessControl*, const UA_NodeId*, void*,
                                const UA_AddReferencesItem*) { return false; };
  access.allowDeleteNode = [](UA_Server*, UA_AccessControl*, const UA_NodeId*, void*,
                              const UA_DeleteNodesItem*) { return false; };
  access.allowDeleteReference = [](UA_Server*, UA_AccessControl*, const UA_NodeId*, void*,
                                   const UA_DeleteReferencesItem*) { return false; };
  access.allowBrowseNode = [](UA_Server*, UA_AccessControl*, const UA_NodeId*, void*,
                              const UA_NodeId*, void*) { return true; };
  // Among the nameless nobody can say whose it is (Part 4, 5.14.7).
  access.allowTransferSubscription = [](UA_Server*, UA_AccessControl*, const UA_NodeId*, void* from,
                                        const UA_NodeId*, void* to) {
    return from != nullptr && from == to && !user_in(from)->credential.empty();
  };
  access.allowHistoryUpdateUpdateData = [](UA_Server*, UA_AccessControl*, const UA_NodeId*, void*,
                                           const UA_NodeId*, UA_PerformUpdateType,
                                           const UA_DataValue*) { return false; };
  access.allowHistoryUpdateDeleteRawModified = [](UA_Server*, UA_AccessControl*, const UA_NodeId*,
                                                  void*, const UA_NodeId*, UA_DateTime, UA_DateTime,
                                                  bool) { return false; };
}

const Access::User* Access::user_of(uintptr_t connection) const noexcept {
  const auto at = seats_.find(connection);
  return at == seats_.end() ? nullptr : at->second.user;
}

bool Access::may_call(uintptr_t connection, const Method& method) const noexcept {
  return may(user_of(connection), method);
}

// ---- logging in ----

UA_StatusCode Access::activate(const UA_NodeId& session, const UA_ExtensionObject& token,
                               void*& context) {
  const User* const user = login(token);
  if (user == nullptr || !take_seat(session, *user)) {
    tell_refused(token, user);
    return UA_STATUSCODE_BADUSERACCESSDENIED;
  }
  if (context == nullptr) {  // else it only becomes another user's
    sessions_.set(++n_sessions_);
  }
  context = const_cast<User*>(user);
  return UA_STATUSCODE_GOOD;
}

/// `user` is null where nobody has logged in.
void Access::session_ended(const void* user) {
  if (user != nullptr) {
    sessions_.set(--n_sessions_);
  }
}

/// Each is counted; a line a second is enough for who guesses passwords. `found`: who it would be,
/// if the connection were not another's.
void Access::tell_refused(const UA_ExtensionObject& token, const User* found) {
  refused_.add();
  const auto left_out = refusals_.next(monotonic_ns());
  if (!left_out) {
    return;
  }
  const UA_DataType* const type = type_of(token);
  const User* const user = found != nullptr ? found : named(token);
  host_.log().warning(
      "a login is refused",
      {{"token", std::string_view(type != nullptr ? type->typeName : "none")},
       {"peer", peer_()},
       {"user", user != nullptr ? std::string_view(user->credential) : std::string_view()},
       {"cause", std::string_view(found != nullptr  ? "the connection is another user's"
                                  : user != nullptr ? "the password is another one"
                                                    : "it is of no user")},
       {"not_logged_before", *left_out}});
}

/// Whose name is shown; null: nobody's. Not what he calls himself: that may be any bytes, or a
/// password in the wrong field.
const Access::User* Access::named(const UA_ExtensionObject& token) const {
  const User* found = nullptr;
  if (type_of(token) != &UA_TYPES[UA_TYPES_USERNAMEIDENTITYTOKEN]) {
    return found;
  }
  const auto& shown = *static_cast<UA_UserNameIdentityToken*>(token.content.decoded.data);
  for (const User& each : users_) {
    if (!each.credential.empty()) {
      const auto name = host_.credential(each.credential, "user");
      found = name && name->text() == view(shown.userName) ? &each : found;
    }
  }
  return found;
}

const Access::User* Access::login(const UA_ExtensionObject& token) {
  const UA_DataType* const type = type_of(token);
  if (type == &UA_TYPES[UA_TYPES_USERNAMEIDENTITYTOKEN]) {
    const auto& shown = *static_cast<UA_UserNameIdentityToken*>(token.content.decoded.data);
    // All are looked at, whoever it is: how long it takes tells nothing.
    const User* found = nullptr;
    for (const User& each : users_) {
      found = has_password(each, shown) ? &each : found;
    }
    return found;
  }
  if (type == &UA_TYPES[UA_TYPES_X509IDENTITYTOKEN]) {  // whose key he has, as the library knows
    const auto& shown = *static_cast<UA_X509IdentityToken*>(token.content.decoded.data);
    const tls::Chain chain = parse_chain(view(shown.certificateData));
    const X509* const leaf = sk_X509_value(chain.get(), 0);
    const auto at = std::find_if(users_.begin(), users_.end(), [&](const User& each) {
      return leaf != nullptr && has_certificate(each, *leaf);
    });
    return at == users_.end() ? nullptr : &*at;
  }
  const bool is_anonymous = type == &UA_TYPES[UA_TYPES_ANONYMOUSIDENTITYTOKEN] ||
                            token.encoding == UA_EXTENSIONOBJECT_ENCODED_NOBODY;
  return is_anonymous && settings_.takes_anonymous ? &users_.front() : nullptr;
}

bool Access::has_password(const User& user, const UA_UserNameIdentityToken& token) const {
  if (user.credential.empty()) {
    return false;
  }
  const auto name = host_.credential(user.credential, "user");
  const auto password = host_.credential(user.credential, "password");
  const std::string_view shown = view(token.password);
  return name && password && name->text() == view(token.userName) &&
         password->size() == shown.size() &&
         CRYPTO_memcmp(password->data(), shown.data(), shown.size()) == 0;
}

bool Access::has_certificate(const User& user, const X509& shown) const {
  if (user.credential.empty()) {
    return false;
  }
  const auto text = host_.credential(user.credential, "certificate");
  if (!text) {
    return false;
  }
  const tls::Certificate known(PEM_read_bio_X509(tls::detail::reader(*text).get(), nullptr,
                                                 &tls::detail::no_password, nullptr));
  ERR_clear_error();
  return known && X509_cmp(known.get(), &shown) == 0 &&
         X509_cmp_current_time(X509_get0_notBefore(known.get())) < 0 &&
         X509_cmp_current_time(X509_get0_notAfter(known.get())) > 0;
}

/// False: the connection is somebody else's.
bool Access::take_seat(const UA_NodeId& session, const User& user) {
  const auto [at, is_new] = seats_.try_emplace(connection_());
  Seat& seat = at->second;
  if (is_new) {
    seat.user = &user;
    seat.session = NodeId::copy_of(session);
    return true;
  }
  const bool is_same_session = UA_NodeId_equal(seat.session.get(), &session);
  if (seat.user != &user && (!is_same_session || seat.is_shared)) {
    return false;
  }
  seat.user = &user;
  seat.is_shared = seat.is_shared || !is_same_session;
  return true;
}

}  // namespace backplane::opcua
