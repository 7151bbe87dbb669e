// SPDX-License-Identifier: Apache-2.0
// The configuration of a server: what it listens on, and what it has. All of it is checked when it
// is read, so that a server whose configuration is wrong never starts.
#pragma once

#include "address.hpp"
#include "settings.hpp"
#include <backplane/sdk/config.hpp>
#include <backplane/sdk/message.hpp>

namespace backplane::opcua {

/// A type, and of how many.
struct Shape {
  UA_UInt16 type = 24;                // built-in, by its number
  std::vector<UA_UInt32> dimensions;  // none: a scalar; 0 in it: any length

  UA_Int32 value_rank() const noexcept {
    return dimensions.empty() ? UA_VALUERANK_SCALAR : static_cast<UA_Int32>(dimensions.size());
  }
  /// The node of the type. A Variant is every type.
  UA_NodeId data_type() const noexcept;
  /// Into the attributes of a variable, or an argument; the dimensions are borrowed.
  template <class Described>
  void describe(Described& out) const noexcept {
    out.dataType = data_type();
    out.valueRank = value_rank();
    out.arrayDimensionsSize = dimensions.size();
    out.arrayDimensions = const_cast<UA_UInt32*>(dimensions.data());
  }
  /// "Double", "Double[4]".
  std::string text() const;
  /// Whether it is as many; the type is not looked at.
  bool holds(const UA_Variant& value) const noexcept;
};

/// Names of roles, a bit each: of a user, or of those that may do something.
using RoleSet = uint64_t;
inline constexpr RoleSet kAnonymous = 1;      // "Anonymous": who has not said who he is
inline constexpr RoleSet kAuthenticated = 2;  // "AuthenticatedUser": each user
inline constexpr RoleSet kEverybody = ~RoleSet{0};

struct DeclaredUser {
  std::string credential;
  RoleSet roles = kAuthenticated;
};

/// What a declared node has, of either class.
struct DeclaredNode {
  std::string id;                      // as this library writes it
  std::vector<Address::Segment> path;  // from Objects; the last is the node's browse name
  std::string title;
  std::string description;
};

struct DeclaredVariable : DeclaredNode {
  Shape shape;
  bool is_readable = true;  // by clients
  bool is_writable = false;
  RoleSet readers = kEverybody;
  RoleSet writers = kEverybody;
  std::string unit;
  std::optional<std::pair<double, double>> range;
  std::optional<OwnedMessage> initial;
  size_t history = 0;  // so many of its last values are kept
};

struct DeclaredArgument {
  std::string name;
  std::string description;
  Shape shape;
};

struct DeclaredMethod : DeclaredNode {
  RoleSet callers = kEverybody;
  std::vector<DeclaredArgument> inputs;
  std::vector<DeclaredArgument> outputs;
};

/// A type of events, below BaseEventType.
struct DeclaredEvent {
  std::string id;  // as this library writes it
  std::string name;
  std::string description;
  std::vector<DeclaredArgument> fields;
};

struct ServerSettings {
  /// Throws Error (INVALID_ARGUMENT). `instance` names what has no name.
  ServerSettings(const Config& config, std::string_view instance);

  /// "opc.tcp://127.0.0.1:4840".
  std::string url(uint16_t with_port) const;

  std::string address;  // an IP address
  uint16_t port = 4840;
  std::string name;
  std::vector<std::string> namespaces;  // all of them: [0] is the standard's, [1] the application's
  std::vector<DeclaredUser> users;
  bool takes_anonymous;
  std::vector<DeclaredVariable> variables;
  std::vector<DeclaredMethod> methods;
  std::vector<DeclaredEvent> events;
  uint16_t max_connections;
  uint16_t max_sessions;
  uint32_t max_subscriptions;
  uint32_t max_monitored_items;
  uint32_t max_message;
  size_t max_calls;
  std::chrono::nanoseconds call_timeout;
  SecuritySettings security;
};

}  // namespace backplane::opcua
