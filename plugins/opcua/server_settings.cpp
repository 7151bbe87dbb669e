// SPDX-License-Identifier: Apache-2.0
#include "server_settings.hpp"

#include "put_element.hpp"
#include <backplane/sdk/unique_handle.hpp>

#include <netdb.h>
#include <open62541/util.h>

namespace backplane::opcua {
namespace {

bool is_ip_address(const std::string& address) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* found = nullptr;
  const bool is = getaddrinfo(address.c_str(), nullptr, &hints, &found) == 0;
  const UniqueHandle<addrinfo, freeaddrinfo> owner(is ? found : nullptr);
  return is;
}

/// The roles that there are: those of the users.
class Roles {
 public:
  /// Of a user: new names are new roles. Throws Error: too many.
  RoleSet add(const std::vector<std::string>& names) {
    RoleSet out = 0;
    for (const std::string& each : names) {
      const size_t bit = static_cast<size_t>(find(each) - names_.begin());
      if (bit == names_.size()) {
        names_.push_back(each);
      }
      if (bit >= kMost) {
        throw Error(BP_INVALID_ARGUMENT, "configuration: there are more than ", kMost, " roles");
      }
      out |= RoleSet{1} << bit;
    }
    return out;
  }

  /// Of those that may. Throws Error: nobody has such a role.
  RoleSet allowed(const Config& config, std::string_view key) const {
    if (!config.has(key)) {
      return kEverybody;
    }
    RoleSet out = 0;
    for (const std::string& each : config.strings(key)) {
      const auto at = find(each);
      if (at == names_.end()) {
        throw Error(BP_INVALID_ARGUMENT, "configuration: '", key, "' names the role '", each,
                    "', which no user has; there are ", all());
      }
      out |= RoleSet{1} << static_cast<size_t>(at - names_.begin());
    }
    return out;
  }

 private:
  static constexpr size_t kMost = 64;
  std::vector<std::string>::const_iterator find(const std::string& name) const {
    return std::find(names_.begin(), names_.end(), name);
  }
  std::string all() const {
    std::string out;
    for (const std::string& each : names_) {
      out += concat(out.empty() ? "'" : ", '", each, "'");
    }
    return out;
  }

  std::vector<std::string> names_{"Anonymous", "AuthenticatedUser"};  // the bits of RoleSet
};

/// Reads nodes and methods; knows what was there before.
class Reader {
 public:
  Reader(const std::vector<std::string>& namespaces, const Roles& roles)
      : namespaces_(namespaces), roles_(roles) {}

  DeclaredVariable variable(const Config& config) const {
    DeclaredVariable out;
    read(config, out);
    out.shape = shape(config);
    const std::string access = config.string("access");
    out.is_readable = access != "write";
    out.is_writable = access != "read";
    out.readers = roles_.allowed(config, "readers");
    out.writers = roles_.allowed(config, "writers");
    out.unit = config.find<std::string>("unit").value_or("");
    out.history = config.find<size_t>("history").value_or(0);
    if (const auto range = config.find<std::vector<double>>("range")) {
      if (range->size() != 2 || !((*range)[0] < (*range)[1])) {
        throw Error(BP_INVALID_ARGUMENT, "node '", out.id,
                    "': 'range' is the least and the greatest value, as [0, 100]");
      }
      out.range = {(*range)[0], (*range)[1]};
    }
    if (config.has("initial")) {
      out.initial = OwnedMessage(MessageBuilder(config.value("initial")).view());
    }
    return out;
  }

  DeclaredEvent event(const Config& config) const {
    const NodeId id = own_id(config.string("id"));
    DeclaredEvent out;
    out.id = to_text(*id);
    out.name = config.string("name");
    out.description = config.find<std::string>("description").value_or("");
    for (const Config& each : config.tables("fields")) {
      out.fields.push_back(argument(each));
    }
    return out;
  }

  DeclaredMethod method(const Config& config) const {
    DeclaredMethod out;
    read(config, out);
    out.callers = roles_.allowed(config, "callers");
    for (const Config& each : config.tables("inputs")) {
      out.inputs.push_back(argument(each));
    }
    for (const Config& each : config.tables("outputs")) {
      out.outputs.push_back(argument(each));
    }
    return out;
  }

 private:
  /// In a namespace for own nodes.
  NodeId own_id(const std::string& text) const {
    auto id = parse_node_id(text);
    id.or_throw();
    const UA_UInt16 number = (*id)->namespaceIndex;
    if (number == 0 || number >= namespaces_.size()) {
      throw Error(BP_INVALID_ARGUMENT, "node '", text, "': there is no namespace ", number,
                  " for own nodes; there are 1 to ", namespaces_.size() - 1,
                  ", and more with 'namespaces'");
    }
    return *std::move(id);
  }

  void read(const Config& config, DeclaredNode& out) const {
    const std::string text = config.string("id");
    const NodeId id = own_id(text);
    const UA_NodeId& native = *id;
    out.id = to_text(native);
    if (const auto path = config.find<std::string>("path")) {
      auto address = parse_address(*path);
      address.or_throw();
      out.path = std::move(address->path);
    } else if (native.identifierType == UA_NODEIDTYPE_STRING) {
      out.path = path_of(view(native.identifier.string));
    }
    if (out.path.empty()) {
      throw Error(BP_INVALID_ARGUMENT, "node '", text,
                  "' needs a 'path' such as /Line1/Temperature, since its id tells none");
    }
    for (Address::Segment& segment : out.path) {
      const auto number = namespace_of(segment, namespaces_);
      number.or_throw();
      segment.ns = *number;
      if (segment.ns == 0) {  // nobody adds to the standard's namespace
        segment.ns = native.namespaceIndex;
      } else if (segment.ns >= namespaces_.size()) {
        throw Error(BP_INVALID_ARGUMENT, "node '", text, "': its path has no namespace ",
                    segment.ns);
      }
    }
    out.title = config.find<std::string>("title").value_or(out.path.back().name);
    out.description = config.find<std::string>("description").value_or("");
  }

  /// "Line1.Temperature": Line1, Temperature.
  static std::vector<Address::Segment> path_of(std::string_view id) {
    std::vector<Address::Segment> out;
    for (;;) {
      const size_t point = id.find('.');
      out.push_back({0, {}, std::string(id.substr(0, point))});
      if (out.back().name.empty()) {
        return {};
      }
      if (point == std::string_view::npos) {
        return out;
      }
      id.remove_prefix(point + 1);
    }
  }

  static Shape shape(const Config& config) {
    Shape out;
    out.type = built_in_by_name(config.string("type"));
    out.dimensions =
        config.find<std::vector<UA_UInt32>>("array").value_or(std::vector<UA_UInt32>());
    return out;
  }
  static DeclaredArgument argument(const Config& config) {
    return {config.string("name"), config.find<std::string>("description").value_or(""),
            shape(config)};
  }

  const std::vector<std::string>& namespaces_;
  const Roles& roles_;
};

}  // namespace

UA_NodeId Shape::data_type() const noexcept {
  return type == kVariant ? UA_NODEID_NUMERIC(0, UA_NS0ID_BASEDATATYPE)
                          : built_in_type(type).typeId;
}

std::string Shape::text() const {
  std::string out(built_in_type(type).typeName);
  for (const UA_UInt32 each : dimensions) {
    out += each == 0 ? std::string("[]") : concat("[", each, "]");
  }
  return out;
}

bool Shape::holds(const UA_Variant& value) const noexcept {
  const size_t rank = UA_Variant_isScalar(&value)      ? 0
                      : value.arrayDimensionsSize == 0 ? 1
                                                       : value.arrayDimensionsSize;
  if (rank != dimensions.size()) {
    return false;
  }
  for (size_t i = 0; i < rank; ++i) {
    const size_t n = value.arrayDimensionsSize == 0 ? value.arrayLength : value.arrayDimensions[i];
    if (dimensions[i] != 0 && n > dimensions[i]) {
      return false;
    }
  }
  return true;
}

ServerSettings::ServerSettings(const Config& config, std::string_view instance)
    : name(config.find<std::string>("name").value_or(std::string(instance))),
      max_connections(config.integer<uint16_t>("max_connections")),
      max_sessions(config.integer<uint16_t>("max_sessions")),
      max_subscriptions(config.integer<uint32_t>("max_subscriptions")),
      max_monitored_items(config.integer<uint32_t>("max_monitored_items")),
      max_message(config.integer<uint32_t>("max_message")),
      max_calls(config.integer<size_t>("max_calls")),
      call_timeout(config.seconds("call_timeout_s")),
      security(config) {
  const std::string listen = config.string("listen");
  const UA_String text = borrowed(listen);
  UA_String host = UA_STRING_NULL;
  UA_String path = UA_STRING_NULL;
  const bool is_url = UA_parseEndpointUrl(&text, &host, &port, &path) == UA_STATUSCODE_GOOD;
  address = view(host);
  if (address.starts_with('[') && address.ends_with(']')) {
    address = address.substr(1, address.size() - 2);
  }
  if (!is_url || !is_ip_address(address) || path.length > 0) {
    throw Error(BP_INVALID_ARGUMENT, "configuration: 'listen' is '", listen,
                "'; expected an IP address of this machine, such as opc.tcp://127.0.0.1:4840 or "
                "opc.tcp://[::]:4840");
  }
  namespaces = {"http://opcfoundation.org/UA/",
                config.find<std::string>("application_uri").value_or("")};
  for (std::string& uri : config.strings("namespaces")) {
    if (std::find(namespaces.begin(), namespaces.end(), uri) != namespaces.end()) {
      throw Error(BP_INVALID_ARGUMENT, "configuration: the namespace '", uri,
                  "' is there already, with a number below 2");
    }
    namespaces.push_back(std::move(uri));
  }
  Roles roles;
  for (const Config& each : config.tables("users")) {
    DeclaredUser user;
    user.credential = each.string("credentials");
    user.roles |= roles.add(each.strings("roles"));
    users.push_back(std::move(user));
  }
  takes_anonymous = config.find<bool>("anonymous").value_or(users.empty());
  const Reader reader(namespaces, roles);
  for (const Config& each : config.tables("nodes")) {
    variables.push_back(reader.variable(each));
  }
  for (const Config& each : config.tables("methods")) {
    methods.push_back(reader.method(each));
  }
  for (const Config& each : config.tables("events")) {
    events.push_back(reader.event(each));
  }
}

std::string ServerSettings::url(uint16_t with_port) const {
  const bool is_v6 = address.find(':') != std::string::npos;
  return concat("opc.tcp://", is_v6 ? "[" : "", address, is_v6 ? "]" : "", ":", with_port);
}

}  // namespace backplane::opcua
