// SPDX-License-Identifier: Apache-2.0
#include "address.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace backplane::opcua {
namespace {

// By their numbers, from 1 (OPC UA part 6, A.1).
constexpr std::array<std::string_view, 27> kAttributes = {"NodeId",
                                                          "NodeClass",
                                                          "BrowseName",
                                                          "DisplayName",
                                                          "Description",
                                                          "WriteMask",
                                                          "UserWriteMask",
                                                          "IsAbstract",
                                                          "Symmetric",
                                                          "InverseName",
                                                          "ContainsNoLoops",
                                                          "EventNotifier",
                                                          "Value",
                                                          "DataType",
                                                          "ValueRank",
                                                          "ArrayDimensions",
                                                          "AccessLevel",
                                                          "UserAccessLevel",
                                                          "MinimumSamplingInterval",
                                                          "Historizing",
                                                          "Executable",
                                                          "UserExecutable",
                                                          "DataTypeDefinition",
                                                          "RolePermissions",
                                                          "UserRolePermissions",
                                                          "AccessRestrictions",
                                                          "AccessLevelEx"};

/// 0: there is none.
UA_UInt32 attribute_id(std::string_view name, bool is_root) noexcept {
  if (is_root && name == "Endpoints") return kServerEndpoints;
  if (is_root && name == "Servers") return kKnownServers;
  for (size_t i = 0; i < kAttributes.size(); ++i) {
    if (kAttributes[i] == name) {
      return static_cast<UA_UInt32>(i + 1);
    }
  }
  return 0;
}

/// "2:Line1" or "nsu=URI;Line1", up to a slash; "&" takes the next character as it is (part 4,
/// A.2).
Result<Address::Segment> take_segment(std::string_view& rest, std::string_view whole) {
  Address::Segment out;
  if (rest.starts_with("nsu=")) {
    const size_t end = rest.find(';');
    if (end == std::string_view::npos || end == 4) {
      return Status(BP_INVALID_ARGUMENT, "browse path '", whole,
                    "': expected nsu=URI;NAME; &nsu= begins a name");
    }
    out.namespace_uri = rest.substr(4, end - 4);
    rest.remove_prefix(end + 1);
  }
  const size_t colon = rest.find_first_of(":/&");
  if (out.namespace_uri.empty() && colon != std::string_view::npos && rest[colon] == ':') {
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + colon, out.ns);
    if (error != std::errc() || end != rest.data() + colon) {
      return Status(BP_INVALID_ARGUMENT, "browse path '", whole, "': '", rest.substr(0, colon),
                    "' is no number of a namespace; &: is a colon in a name");
    }
    rest.remove_prefix(colon + 1);
  }
  while (!rest.empty() && rest.front() != '/') {
    if (rest.front() == '&' && rest.size() > 1) {
      rest.remove_prefix(1);
    }
    out.name += rest.front();
    rest.remove_prefix(1);
  }
  if (out.name.empty()) {
    return Status(BP_INVALID_ARGUMENT, "browse path '", whole,
                  "': a segment has no name; it is like /2:Line1/2:Temperature, from Objects");
  }
  return out;
}

/// "65537" of a text that begins with `key` does not fit into `T`: the library would take another
/// number for it, and so another node.
template <class T>
bool is_beyond(std::string_view text, std::string_view key) noexcept {
  T number{};
  return text.starts_with(key) &&
         std::from_chars(text.data() + key.size(), text.data() + text.size(), number).ec ==
             std::errc::result_out_of_range;
}

Status numbers_fit(std::string_view text) {
  if (is_beyond<uint16_t>(text, "ns=")) {
    return Status(BP_INVALID_ARGUMENT, "'", text, "': a namespace's number is at most 65535");
  }
  const size_t point = text.starts_with("ns=") ? text.find(';') : std::string_view::npos;
  const std::string_view id = point == std::string_view::npos ? text : text.substr(point + 1);
  return is_beyond<uint32_t>(id, "i=")
             ? Status(BP_INVALID_ARGUMENT, "'", text, "': a node's number is at most 4294967295")
             : Status::ok();
}

}  // namespace

std::string_view attribute_name(UA_UInt32 attribute) noexcept {
  return attribute >= 1 && attribute <= kAttributes.size() ? kAttributes[attribute - 1]
                                                           : std::string_view();
}

Result<NodeId> parse_node_id(std::string_view text) {
  NodeId out;
  if (const Status status = numbers_fit(text); status.is_error()) {
    return status;
  }
  if (UA_NodeId_parse(out.get(), borrowed(text)) != UA_STATUSCODE_GOOD) {
    return Status(BP_INVALID_ARGUMENT, "'", text,
                  "' is no node id; one is like ns=1;s=Line1.Temperature or i=2258, a browse path "
                  "begins with a slash");
  }
  return out;
}

Result<Address> parse_address(std::string_view text) {
  Address out;
  const std::string_view whole = text;
  if (const size_t at = text.rfind('@'); at != std::string_view::npos) {
    const bool is_root = at == 0 || text.substr(0, at) == "/";
    if (const UA_UInt32 attribute = attribute_id(text.substr(at + 1), is_root); attribute != 0) {
      out.attribute = attribute;
      out.has_attribute = true;
      text = text.substr(0, at);
    }
  }
  if (text.empty() || text.front() == '/') {
    while (text.size() > 1) {
      text.remove_prefix(1);  // the slash
      auto segment = take_segment(text, whole);
      if (!segment) {
        return segment.status();
      }
      out.path.push_back(*std::move(segment));
    }
    return out;
  }
  if (text.starts_with("nsu=")) {
    const size_t end = text.find(';');
    if (end == std::string_view::npos || end == 4) {
      return Status(BP_INVALID_ARGUMENT, "'", whole, "': expected nsu=URI;s=NAME");
    }
    out.namespace_uri = text.substr(4, end - 4);
    text.remove_prefix(end + 1);
  }
  if (const auto id = parse_node_id(text); !id) {
    return id.status();
  }
  if (!out.namespace_uri.empty() && text.starts_with("ns=")) {
    return Status(BP_INVALID_ARGUMENT, "'", whole, "': a namespace by its URI and by its number");
  }
  out.id = text;
  return out;
}

Result<uint16_t> namespace_of(const std::string& uri, const std::vector<std::string>& namespaces) {
  const auto at = std::find(namespaces.begin(), namespaces.end(), uri);
  if (at == namespaces.end()) {
    return Status(BP_NOT_FOUND, "the server has no namespace '", uri,
                  "'; read i=2255 for those that it has");
  }
  return static_cast<uint16_t>(at - namespaces.begin());
}

Result<uint16_t> namespace_of(const Address::Segment& segment,
                              const std::vector<std::string>& namespaces) {
  if (segment.namespace_uri.empty()) {
    return segment.ns;
  }
  return namespace_of(segment.namespace_uri, namespaces);
}

bool has_known_namespaces(const Address& address, const std::vector<std::string>& namespaces) {
  const auto is_known = [&](const std::string& uri) {
    return uri.empty() || namespace_of(uri, namespaces).is_ok();
  };
  return is_known(address.namespace_uri) &&
         std::all_of(address.path.begin(), address.path.end(),
                     [&](const Address::Segment& each) { return is_known(each.namespace_uri); });
}

Result<NodeId> node_id_of(const Address& address, const std::vector<std::string>& namespaces) {
  auto id = parse_node_id(address.id);
  if (!id || address.namespace_uri.empty()) {
    return id;
  }
  const auto number = namespace_of(address.namespace_uri, namespaces);
  if (!number) {
    return number.status();
  }
  (*id)->namespaceIndex = *number;
  return id;
}

}  // namespace backplane::opcua
