// SPDX-License-Identifier: Apache-2.0
// Who gets a session of a server, and what he may do there: users and their roles (Part 18). Loop
// thread only.
//
// Design notes.
// - A user's credential is read at each login: a changed password counts from the next one on.
// - The library does not tell for which session a method is called, only we know on which
//   connection. So a connection is of one user as long as it lasts.
// - Sessions are counted here: the library tells the end of each, also of one that has timed out.
// - Nobody may change what a server has, nor its history.
#pragma once

#include "address_space.hpp"
#include "trust.hpp"
#include <backplane/sdk/line_limit.hpp>

#include <unordered_map>

namespace backplane::opcua {

class Access {
 public:
  struct User {
    std::string credential;  // its name; empty: anonymous
    RoleSet roles = 0;
  };

  /// `connection` tells the connection whose bytes the library looks at, `peer` the address at its
  /// other end. `host` and `settings` outlive it.
  Access(const Host& host, const ServerSettings& settings, std::function<uintptr_t()> connection,
         std::function<std::string()> peer);
  Access(const Access&) = delete;
  Access& operator=(const Access&) = delete;

  /// Of a configuration that has none yet; this outlives the server. Throws Error.
  void put_into(UA_ServerConfig& config);

  /// Null: nobody has logged in there.
  const User* user_of(uintptr_t connection) const noexcept;
  bool may_call(uintptr_t connection, const Method& method) const noexcept;
  void forget(uintptr_t connection) noexcept { seats_.erase(connection); }

 private:
  /// Of one connection.
  struct Seat {
    const User* user = nullptr;
    NodeId session;  // the first one
    bool is_shared = false;
  };

  static Access& of(const UA_AccessControl* access) noexcept {
    return *static_cast<Access*>(access->context);
  }
  UA_StatusCode activate(const UA_NodeId& session, const UA_ExtensionObject& token, void*& user);
  void session_ended(const void* user);
  void tell_refused(const UA_ExtensionObject& token, const User* found);
  const User* named(const UA_ExtensionObject& token) const;
  const User* login(const UA_ExtensionObject& token);
  bool has_password(const User& user, const UA_UserNameIdentityToken& token) const;
  bool has_certificate(const User& user, const X509& shown) const;
  bool take_seat(const UA_NodeId& session, const User& user);

  const Host& host_;
  const ServerSettings& settings_;
  const bool is_for_all_;  // each variable is for everybody: they need not be looked at
  const std::function<uintptr_t()> connection_;
  const std::function<std::string()> peer_;
  std::vector<User> users_;  // each session's context is one of these
  std::unordered_map<uintptr_t, Seat> seats_;
  const Counter refused_;
  LineLimit refusals_{std::chrono::seconds(1)};
  int64_t n_sessions_ = 0;  // that have a user
  const Gauge sessions_;
};

}  // namespace backplane::opcua
