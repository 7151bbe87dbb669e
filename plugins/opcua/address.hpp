// SPDX-License-Identifier: Apache-2.0
// Addresses: a node by its id or by a browse path, and one of its attributes.
#pragma once

#include "native.hpp"
#include <backplane/sdk/result.hpp>

#include <vector>

namespace backplane::opcua {

/// What a server tells without a session: `@Endpoints`, `@Servers`. No attributes of a node.
inline constexpr UA_UInt32 kServerEndpoints = 0x10001;
inline constexpr UA_UInt32 kKnownServers = 0x10002;

struct Address {
  struct Segment {
    uint16_t ns = 0;
    std::string namespace_uri;  // of nsu=URI;
    std::string name;
  };
  std::string id;             // "ns=1;s=X", "i=2258", "s=X" after a namespace's URI
  std::string namespace_uri;  // of nsu=URI;
  std::vector<Segment> path;  // from Objects, when there is no id; empty: Objects itself
  UA_UInt32 attribute = UA_ATTRIBUTEID_VALUE;
  bool has_attribute = false;  // it was named

  bool is_path() const noexcept { return id.empty(); }
  /// The folder Objects, and none of its attributes.
  bool is_objects() const noexcept { return is_path() && path.empty() && !has_attribute; }
  /// Of the server, not of a node.
  bool is_inquiry() const noexcept {
    return attribute == kServerEndpoints || attribute == kKnownServers;
  }
};

/// INVALID_ARGUMENT says what is wrong with the text, and what it should look like.
Result<Address> parse_address(std::string_view text);

/// The id of an address that has one, by the server's namespaces; NOT_FOUND: it has no such
/// namespace.
Result<NodeId> node_id_of(const Address& address, const std::vector<std::string>& namespaces);

/// The number of a namespace; NOT_FOUND: the server has none of that name.
Result<uint16_t> namespace_of(const std::string& uri, const std::vector<std::string>& namespaces);

/// Of a segment, by its number or by its URI.
Result<uint16_t> namespace_of(const Address::Segment& segment,
                              const std::vector<std::string>& namespaces);

/// Whether the server is known to have all that the address names by its URI.
bool has_known_namespaces(const Address& address, const std::vector<std::string>& namespaces);

/// A node id from its text.
Result<NodeId> parse_node_id(std::string_view text);

/// "DisplayName" for its number; empty for one that there is not.
std::string_view attribute_name(UA_UInt32 attribute) noexcept;

}  // namespace backplane::opcua
