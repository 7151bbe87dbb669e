// SPDX-License-Identifier: Apache-2.0
#include "address.hpp"

#include "handles.hpp"

#include <arpa/inet.h>
#include <cctype>
#include <netdb.h>

namespace backplane::coap {
namespace {

int hex_digit(char c) noexcept {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

std::string decode(std::string_view part, std::string_view whole) {
  constexpr size_t kMost = 255;  // of an option's value: RFC 7252, 5.10
  std::string out;
  for (size_t i = 0; i < part.size(); ++i) {
    if (part[i] != '%') {
      out += part[i];
      continue;
    }
    const int high = i + 2 < part.size() ? hex_digit(part[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(part[i + 2]) : -1;
    if (low < 0) {
      throw Error(BP_INVALID_ARGUMENT, "path '", whole,
                  "': '%' must be followed by two hexadecimal digits; write '%25' for the sign");
    }
    out += static_cast<char>(high << 4 | low);
    i += 2;
  }
  if (out.size() > kMost) {
    throw Error(BP_INVALID_ARGUMENT, "path '", whole.substr(0, 64), "...': a part has ", out.size(),
                " bytes; CoAP takes ", kMost);
  }
  return out;
}

std::vector<std::string> split(std::string_view text, char separator, std::string_view whole) {
  std::vector<std::string> parts;
  for (;;) {
    const size_t end = text.find(separator);
    parts.push_back(decode(text.substr(0, end), whole));
    if (end == text.npos) {
      return parts;
    }
    text.remove_prefix(end + 1);
  }
}

std::string canonical(const std::vector<std::string>& segments, std::string_view whole) {
  constexpr size_t kMost = 1024;
  const Pdu pdu(coap_pdu_init(COAP_MESSAGE_CON, COAP_REQUEST_CODE_GET, 0, kMost));
  if (!pdu) {
    throw std::bad_alloc();
  }
  for (const std::string& segment : segments) {
    if (coap_add_option(pdu.get(), COAP_OPTION_URI_PATH, segment.size(),
                        reinterpret_cast<const uint8_t*>(segment.data())) == 0) {
      throw Error(BP_INVALID_ARGUMENT, "path '", whole.substr(0, 64),
                  "...' is too long for one datagram");
    }
  }
  return path_of(pdu.get()).substr(1);
}

}  // namespace

Target parse_target(std::string_view text) {
  if (text.empty() || text.front() != '/') {
    throw Error(BP_INVALID_ARGUMENT, "path '", text,
                "' must begin with a slash, as in /line1/temperature?unit=c");
  }
  Target target;
  target.text = text;
  const size_t question = text.find('?');
  const std::string_view path = text.substr(1, question == text.npos ? question : question - 1);
  if (!path.empty()) {
    target.segments = split(path, '/', text);
  }
  for (const std::string& segment : target.segments) {
    if (segment == "." || segment == "..") {  // RFC 7252, 5.10.1
      throw Error(BP_INVALID_ARGUMENT, "path '", text, "': '", segment,
                  "' is no part of a path in CoAP; write the path that it leads to");
    }
  }
  if (question != text.npos) {
    target.queries = split(text.substr(question + 1), '&', text);
  }
  target.path = canonical(target.segments, text);
  return target;
}

std::string path_of(const coap_pdu_t* request) {
  const CoapString path(coap_get_uri_path(request));
  std::string out = "/";
  if (path) {
    out.append(reinterpret_cast<const char*>(path->s), path->length);
  }
  return out;
}

Authority parse_authority(std::string_view url, std::string_view key) {
  coap_uri_t uri{};
  if (coap_split_uri(reinterpret_cast<const uint8_t*>(url.data()), url.size(), &uri) < 0 ||
      uri.host.length == 0) {
    throw Error(BP_INVALID_ARGUMENT, "configuration: '", key, "' is '", url,
                "'; expected coap[s]://HOST[:PORT], such as coap://127.0.0.1:5683");
  }
  if (uri.scheme != COAP_URI_SCHEME_COAP && uri.scheme != COAP_URI_SCHEME_COAPS) {
    throw Error(BP_UNIMPLEMENTED, "configuration: '", key, "' is '", url,
                "': only CoAP over UDP is in this build; use coap:// or coaps://");
  }
  if (uri.path.length != 0 || uri.query.length != 0) {
    throw Error(BP_INVALID_ARGUMENT, "configuration: '", key, "' is '", url,
                "': a path or query belongs to the address of an endpoint, not here");
  }
  Authority authority;
  authority.host.assign(reinterpret_cast<const char*>(uri.host.s), uri.host.length);
  authority.port = uri.port;
  authority.is_secure = uri.scheme == COAP_URI_SCHEME_COAPS;
  const bool is_v6 = authority.host.find(':') != std::string::npos;
  authority.text = concat(authority.scheme(), is_v6 ? "[" : "", authority.host, is_v6 ? "]:" : ":",
                          static_cast<unsigned>(authority.port));
  return authority;
}

std::optional<coap_address_t> address_of(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) {
    return std::nullopt;
  }
  const UniqueHandle<addrinfo, freeaddrinfo> owner(found);
  coap_address_t address;
  coap_address_init(&address);
  std::memcpy(&address.addr, found->ai_addr, found->ai_addrlen);
  address.size = found->ai_addrlen;
  return address;
}

std::string to_text(const coap_address_t& address) {
  char host[INET6_ADDRSTRLEN] = "?";
  switch (address.addr.sa.sa_family) {
    case AF_INET:
      inet_ntop(AF_INET, &address.addr.sin.sin_addr, host, sizeof host);
      return concat(std::string_view(host), ":",
                    static_cast<unsigned>(ntohs(address.addr.sin.sin_port)));
    case AF_INET6:
      inet_ntop(AF_INET6, &address.addr.sin6.sin6_addr, host, sizeof host);
      return concat("[", std::string_view(host),
                    "]:", static_cast<unsigned>(ntohs(address.addr.sin6.sin6_port)));
    default:
      return "?";
  }
}

}  // namespace backplane::coap
