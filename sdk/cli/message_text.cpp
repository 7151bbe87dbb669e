// SPDX-License-Identifier: Apache-2.0
#include "message_text.hpp"

#include <backplane/operation.h>
#include <backplane/sdk/json.hpp>

#include <array>

namespace backplane::cli {
namespace {

using Json = nlohmann::ordered_json;

/// The names of the headers that have an id, as the READMEs of the plugins say them.
std::string header_name(ValueView key) {
  static constexpr std::array<std::string_view, 32> kNames = {"",
                                                              "path",
                                                              "match",
                                                              "kind",
                                                              "content_type",
                                                              "status",
                                                              "server_time",
                                                              "expiry_ns",
                                                              "method",
                                                              "reply_to",
                                                              "correlation",
                                                              "peer_user",
                                                              "peer_uid",
                                                              "peer_certificate",
                                                              "qos",
                                                              "retain",
                                                              "overflow",
                                                              "traceparent",
                                                              "hops",
                                                              "create",
                                                              "etag",
                                                              "peer_address",
                                                              "type",
                                                              "title",
                                                              "verbs",
                                                              "index_range",
                                                              "native_type",
                                                              "error_name",
                                                              "trailers",
                                                              "options",
                                                              "lifetime_ns",
                                                              "source_time"};
  if (key.tag == BP_T_UINT && key.as.u > 0 && key.as.u < kNames.size()) {
    return std::string(kNames[key.as.u]);
  }
  return key.get<std::string>().value_or(key.to_text());
}

Json body_json(ValueView body) {
  if (const auto bytes = body.payload(); bytes && body.tag != BP_T_STRING) {
    const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    if (body.tag == BP_T_ENCODED && body.aux != BP_FORMAT_JSON) {
      return Json::parse(to_json(body));
    }
    // Bounded: the library alone would follow a hostile payload down to the end of the stack.
    if (const auto parsed = from_json(text)) {
      return Json::parse(to_json(parsed->body()));
    }
    const Json string(text);
    try {
      return string.dump().empty() ? Json() : string;
    } catch (const Json::exception&) {  // no UTF-8
      return Json::parse(to_json(ValueView(*bytes)));
    }
  }
  return Json::parse(to_json(body));
}

std::string one_line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json verbs_json(uint64_t mask) {
  static constexpr std::pair<uint32_t, const char*> kVerbs[] = {
      {BP_V_READ, "read"},   {BP_V_WRITE, "write"}, {BP_V_CALL, "call"},
      {BP_V_WATCH, "watch"}, {BP_V_SERVE, "serve"}, {BP_V_BROWSE, "browse"}};
  Json out = Json::array();
  for (const auto& [verb, name] : kVerbs) {
    if ((mask & BP_VERB_BIT(verb)) != 0) {
      out.push_back(name);
    }
  }
  return out;
}

}  // namespace

std::string body_text(ValueView body) { return one_line(body_json(body)); }

std::string message_text(MessageView message) {
  Json out = Json::object();
  if (const auto path = message.header<std::string>(BP_H_PATH)) {
    out["path"] = *path;
  }
  out["value"] = body_json(message.body());
  if (const auto time = message.time()) {
    out["time"] = Json::parse(to_json(ValueView(*time)));
  }
  if (message.is_initial()) {
    out["initial"] = true;
  }
  if (message.is_redelivered()) {
    out["redelivered"] = true;
  }
  for (const bp_pair& header : message.headers()) {
    const ValueView key(header.key);
    if (key.tag != BP_T_UINT || key.as.u != BP_H_PATH) {
      out["headers"][header_name(key)] = Json::parse(to_json(header.val));
    }
  }
  return one_line(out);
}

std::string entry_text(MessageView entry) {
  Json out = Json::object();
  out["path"] = entry.header<std::string>(BP_H_PATH).value_or("");
  if (const auto title = entry.header<std::string>(BP_H_TITLE)) {
    out["title"] = *title;
  }
  if (const auto type = entry.header<std::string>(BP_H_TYPE)) {
    out["type"] = *type;
  }
  if (const auto verbs = entry.header<uint64_t>(BP_H_VERBS)) {
    out["verbs"] = verbs_json(*verbs);
  }
  if (!entry.body().is_null()) {
    out["value"] = body_json(entry.body());
  }
  return one_line(out);
}

}  // namespace backplane::cli
