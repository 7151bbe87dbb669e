// SPDX-License-Identifier: Apache-2.0
#include "settings.hpp"

#include "topic.hpp"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <charconv>
#include <cstdio>
#include <fstream>
#include <unistd.h>

namespace backplane::mqtt {
namespace {

constexpr uint16_t kPort = 1883;
constexpr uint16_t kTlsPort = 8883;

std::string hex(std::span<const unsigned char> bytes) {
  std::string out;
  for (const unsigned char byte : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", byte);
    out += digits;
  }
  return out;
}

/// Tells this machine, and the names however long they are, from others; the identifier of the
/// machine itself is confidential (machine-id(5)), its digest is not.
std::string digest_of_names(std::string_view system, std::string_view instance) {
  std::string id;
  std::getline(std::ifstream("/etc/machine-id"), id);
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  id = concat(id, host, "\n", system, "\n", instance);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_Digest(id.data(), id.size(), digest, &size, EVP_sha256(), nullptr);
  return hex({digest, 4});
}

[[noreturn]] void refuse(std::string_view url, std::string_view why) {
  throw Error(BP_INVALID_ARGUMENT, "configuration: url '", url, "': ", why,
              "; expected mqtt://HOST[:PORT] or mqtts://HOST[:PORT]");
}

std::string client_id_of(const Config& config, std::string_view system, std::string_view instance) {
  std::string id =
      config.find<std::string>("client_id").value_or(default_client_id(system, instance));
  if (is_passing(system, instance)) {
    unsigned char random[8] = {};
    RAND_bytes(random, sizeof random);
    id += "-" + hex(random);
  }
  return id;
}

std::optional<Will> read_will(const Config& config) {
  if (!config.has("will")) {
    return std::nullopt;
  }
  const Config table = config.table("will");
  Will will;
  will.topic = table.string("topic");
  will.payload = table.string("payload");
  will.content_type = table.string("content_type");
  will.qos = table.integer<int>("qos");
  will.retain = table.boolean("retain");
  will.delay_s = table.integer<uint32_t>("delay_s");
  if (const Status status = check_topic_name(will.topic); !status.is_ok()) {
    throw Error(Status(status).with_context("configuration: will.topic"));
  }
  return will;
}

}  // namespace

BrokerUrl BrokerUrl::parse(std::string_view url) {
  BrokerUrl out;
  const size_t scheme_end = url.find("://");
  const std::string_view scheme = url.substr(0, scheme_end);
  if (scheme_end == url.npos || (scheme != "mqtt" && scheme != "mqtts")) {
    refuse(url, "unknown scheme");
  }
  out.tls = scheme == "mqtts";
  std::string_view authority = url.substr(scheme_end + 3);
  if (authority.ends_with('/')) {
    authority.remove_suffix(1);
  }
  if (authority.find_first_of("/?#") != authority.npos) {
    refuse(url, "a path has no place here");
  }
  if (authority.find('@') != authority.npos) {
    refuse(url, "user and password go into a credential, named by the key credentials");
  }
  std::string_view port;
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    if (end == authority.npos) {
      refuse(url, "']' is missing");
    }
    out.host = authority.substr(1, end - 1);
    authority.remove_prefix(end + 1);
    if (!authority.empty() && !authority.starts_with(':')) {
      refuse(url, "after ']' comes ':PORT' or nothing");
    }
    port = authority.empty() ? authority : authority.substr(1);
  } else {
    const size_t colon = authority.find(':');
    out.host = authority.substr(0, colon);
    port = colon == authority.npos ? std::string_view{} : authority.substr(colon + 1);
  }
  if (out.host.empty()) {
    refuse(url, "the host is missing");
  }
  out.port = out.tls ? kTlsPort : kPort;
  if (!port.empty()) {
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out.port);
    if (error != std::errc{} || end != port.data() + port.size() || out.port == 0) {
      refuse(url, "the port is a number from 1 to 65535");
    }
  }
  return out;
}

std::string BrokerUrl::to_string() const {
  const bool is_v6 = host.find(':') != host.npos;
  return concat(tls ? "mqtts://" : "mqtt://", is_v6 ? "[" : "", host, is_v6 ? "]:" : ":", port);
}

/// The kernel calls an instance that it makes for a URL by that URL; the command calls a system
/// that it makes to look at another one look://NAME.
bool is_passing(std::string_view system, std::string_view instance) noexcept {
  return system.find("://") != system.npos || instance.find("://") != instance.npos;
}

std::string default_client_id(std::string_view system, std::string_view instance) {
  constexpr size_t kMaxName = 40;
  const std::string whole = concat(system, system.empty() ? "" : "-", instance);
  std::string name;
  for (const char c : std::string_view(whole).substr(0, kMaxName)) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
    name += plain ? c : '-';
  }
  return concat("backplane-", name, "-", digest_of_names(system, instance));
}

Settings::Settings(const Config& config, std::string_view system, std::string_view instance)
    : url(BrokerUrl::parse(config.string("url"))),
      version(config.integer<int>("version")),
      client_id(client_id_of(config, system, instance)),
      is_passing(mqtt::is_passing(system, instance)),
      credentials(config.find<std::string>("credentials").value_or("")),
      server_name(config.find<std::string>("server_name").value_or(url.host)),
      keep_alive_s(config.integer<int>("keep_alive_s")),
      session_expiry_s(config.integer<uint32_t>("session_expiry_s")),
      connect_timeout(config.seconds("connect_timeout_s")),
      read_timeout(config.seconds("read_timeout_s")),
      call_timeout(config.seconds("call_timeout_s")),
      browse_time(config.seconds("browse_time_s")),
      reconnect_min(config.seconds("reconnect_min_s")),
      reconnect_max(config.seconds("reconnect_max_s")),
      linger(config.seconds("linger_s")),
      qos(config.integer<uint8_t>("qos")),
      retain(config.boolean("retain")),
      max_payload(config.integer<uint32_t>("max_payload")),
      max_in_flight(config.integer<size_t>("max_in_flight")),
      offline_queue(config.integer<size_t>("offline_queue")),
      receive_maximum(config.integer<uint16_t>("receive_maximum")),
      max_requests(config.integer<size_t>("max_requests")),
      max_topics(config.integer<size_t>("max_topics")),
      will(read_will(config)) {
  if (reconnect_max < reconnect_min) {
    throw Error(BP_INVALID_ARGUMENT, "configuration: reconnect_max_s is less than reconnect_min_s");
  }
  if (is_passing) {
    will.reset();
  }
}

}  // namespace backplane::mqtt
