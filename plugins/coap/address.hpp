// SPDX-License-Identifier: Apache-2.0
// Where things are: `coap[s]://host:port` of an instance, `/path?query` of an endpoint (RFC 7252,
// section 6), and the socket address of the first.
#pragma once

#include <backplane/sdk/status.hpp>

#include <coap3/coap.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace backplane::coap {

/// What follows an instance's name: the options that address a resource.
struct Target {
  std::vector<std::string> segments;  // Uri-Path, decoded
  std::vector<std::string> queries;   // Uri-Query, decoded
  /// The path as libcoap writes it, without the leading slash: percent-encoded again, so that equal
  /// paths are equal texts.
  std::string path;
  /// "/path?query", as shown to people and in BP_H_PATH.
  std::string text;
};

/// Throws Error (INVALID_ARGUMENT) for what is no path: no leading slash, a bad %XX, a segment
/// above 255 bytes, or one that is '.' or '..'.
Target parse_target(std::string_view text);

/// "/a/b" of the Uri-Path options of a request.
std::string path_of(const coap_pdu_t* request);

struct Authority {
  std::string host;
  uint16_t port = 0;
  bool is_secure = false;  // coaps:
  std::string text;        // "coap://host:port", for messages

  std::string_view scheme() const noexcept { return is_secure ? "coaps://" : "coap://"; }
  coap_proto_t protocol() const noexcept { return is_secure ? COAP_PROTO_DTLS : COAP_PROTO_UDP; }
};

/// `key` is the configuration's key, for the error text. Throws Error: INVALID_ARGUMENT for what is
/// no `coap://HOST[:PORT]` or `coaps://HOST[:PORT]`, UNIMPLEMENTED for CoAP over TCP.
Authority parse_authority(std::string_view url, std::string_view key);

/// The socket address of a numeric host; nothing for a name.
std::optional<coap_address_t> address_of(const std::string& host, uint16_t port);

/// "127.0.0.1:5683", "[::1]:5683".
std::string to_text(const coap_address_t& address);

}  // namespace backplane::coap
