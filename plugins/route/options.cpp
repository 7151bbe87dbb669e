// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <array>

namespace backplane::route {

namespace {

/// A destination's table over the route's.
class Layers {
 public:
  Layers(const Config& route, const Config& destination) : layers_{destination, route} {}

  template <class T>
  std::optional<T> find(std::string_view key) const {
    for (const Config& layer : layers_) {
      if (layer.has(key)) {
        return layer.get<T>(key);
      }
    }
    return std::nullopt;
  }
  std::optional<std::chrono::nanoseconds> seconds(std::string_view key) const {
    for (const Config& layer : layers_) {
      if (layer.has(key)) {
        return layer.seconds(key);
      }
    }
    return std::nullopt;
  }
  /// The one of `names` that the key's value is, by its place; the schema has no other.
  template <class Enum, size_t N>
  Enum choice(std::string_view key, const std::array<std::string_view, N>& names) const {
    const auto name = find<std::string_view>(key);
    for (size_t i = 0; name && i < N; ++i) {
      if (names[i] == *name) {
        return static_cast<Enum>(i);
      }
    }
    throw Error(BP_INVALID_ARGUMENT, "configuration: '", key, "' is missing or none of its values");
  }

 private:
  std::array<Config, 2> layers_;
};

Steps parse_steps(const Layers& layers) {
  Steps steps;
  steps.decode = layers.choice<Decode>(
      "decode", std::array<std::string_view, 4>{"auto", "json", "cbor", "none"});
  if (const auto pointer = layers.find<std::string_view>("select")) {
    steps.select = JsonPointer::parse(*pointer).value();
  }
  steps.scale = layers.find<double>("scale");
  steps.offset = layers.find<double>("offset");
  if (const auto constant = layers.find<ValueView>("constant")) {
    steps.constant.emplace(*constant);
  }
  if (layers.find<std::string_view>("convert")) {
    steps.convert = layers.choice<Convert>(
        "convert", std::array<std::string_view, 5>{"", "number", "integer", "string", "boolean"});
  }
  steps.deadband = layers.find<double>("deadband");
  steps.heartbeat = layers.seconds("heartbeat_s").value_or(std::chrono::nanoseconds(0));
  steps.encode = layers.choice<Encode>(
      "encode", std::array<std::string_view, 4>{"none", "json", "cbor", "text"});
  return steps;
}

SourceOptions parse_source(ValueView given) {
  if (given.tag != BP_T_MAP) {
    return {given.as_result<std::string>().value(), {}};
  }
  const Config table(given, "from.");
  MessageBuilder asked;
  if (const auto type = table.find<std::string_view>("accept")) {
    asked.header(BP_H_CONTENT_TYPE, *type);
  }
  if (const auto options = table.find<ValueView>("options")) {
    asked.header(BP_H_OPTIONS, *options);
  }
  if (const auto qos = table.find<uint64_t>("qos")) {
    asked.header(BP_H_QOS, *qos);
  }
  return {table.string("address"), OwnedMessage(asked.view())};
}

OwnedMessage parse_headers(const Config& table) {
  MessageBuilder message;
  if (const auto qos = table.find<uint64_t>("qos")) {
    message.header(BP_H_QOS, *qos);
  }
  if (const auto retain = table.find<bool>("retain")) {
    message.header(BP_H_RETAIN, *retain);
  }
  if (const auto type = table.find<std::string_view>("content_type")) {
    message.header(BP_H_CONTENT_TYPE, *type);
  }
  if (const auto method = table.find<std::string_view>("method")) {
    message.header(BP_H_METHOD, *method);
  }
  const Config headers = table.table("headers");
  for (const auto& [key, value] : headers.map().entries()) {
    TextStore text;
    // Metadata of the wire is text.
    const ValueView as_text = to_string_value(value, text).value();
    message.header(key.get<std::string_view>().value(), message.arena().copy(as_text));
  }
  return OwnedMessage(message.view());
}

DestinationOptions parse_destination(const Config& route, ValueView given) {
  const bool is_table = given.tag == BP_T_MAP;
  const Config table(is_table ? given : ValueView(), "to.");
  const Layers layers(route, table);
  DestinationOptions out;
  out.address = is_table ? table.string("address") : given.as_result<std::string>().value();
  out.strip = table.find<std::string>("strip").value_or(std::string());
  out.verb = table.find<std::string_view>("verb") == "call" ? BP_V_CALL : BP_V_WRITE;
  out.headers = parse_headers(table);
  out.steps = parse_steps(layers);
  out.queue.policy = layers.choice<Policy>(
      "policy", std::array<std::string_view, 3>{"block", "drop_oldest", "latest"});
  out.queue.messages = layers.find<size_t>("queue").value();
  out.queue.bytes = layers.find<size_t>("queue_bytes").value();
  out.in_flight = layers.find<size_t>("in_flight").value();
  out.expiry = layers.seconds("expiry_s").value_or(std::chrono::nanoseconds(0));
  return out;
}

}  // namespace

RouteOptions RouteOptions::parse(std::string_view name, const Config& config) {
  RouteOptions out;
  out.name = name;
  out.from = parse_source(config.value("from"));
  out.dead_letter = config.find<std::string>("dead_letter").value_or(std::string());
  out.max_hops = config.integer<uint64_t>("max_hops");
  out.retry_max = config.seconds("retry_max_s");
  const ValueView to = config.value("to");
  if (to.tag == BP_T_LIST) {
    for (const ValueView each : to.items()) {
      out.to.push_back(parse_destination(config, each));
    }
  } else {
    out.to.push_back(parse_destination(config, to));
  }
  return out;
}

}  // namespace backplane::route
