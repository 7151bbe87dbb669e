// SPDX-License-Identifier: Apache-2.0
#include "outbound.hpp"

namespace backplane::route {

namespace {

constexpr uint64_t bit(uint64_t id) { return uint64_t{1} << id; }

/// What belongs to the exchange between source and route, proves who a peer is, or is set anew. An
/// id that is newer than this is carried.
constexpr uint64_t kNotCarried =
    bit(BP_H_PATH) | bit(BP_H_MATCH) | bit(BP_H_KIND) | bit(BP_H_STATUS) | bit(BP_H_EXPIRY_NS) |
    bit(BP_H_METHOD) | bit(BP_H_REPLY_TO) | bit(BP_H_PEER_USER) | bit(BP_H_PEER_UID) |
    bit(BP_H_PEER_CERTIFICATE) | bit(BP_H_QOS) | bit(BP_H_RETAIN) | bit(BP_H_OVERFLOW) |
    bit(BP_H_HOPS) | bit(BP_H_CREATE) | bit(BP_H_ETAG) | bit(BP_H_PEER_ADDRESS) | bit(BP_H_TYPE) |
    bit(BP_H_TITLE) | bit(BP_H_VERBS) | bit(BP_H_INDEX_RANGE) | bit(BP_H_ERROR_NAME) |
    bit(BP_H_TRAILERS) | bit(BP_H_OPTIONS) | bit(BP_H_LIFETIME_NS);
/// What describes the body.
constexpr uint64_t kOfBody = bit(BP_H_CONTENT_TYPE) | bit(BP_H_NATIVE_TYPE);

bool is_in(const bp_pair& header, uint64_t ids) noexcept {
  return header.key.tag == BP_T_UINT && header.key.as.u < 64 && (ids & bit(header.key.as.u)) != 0;
}

bool same_key(const bp_value& a, const bp_value& b) noexcept {
  if (a.tag != b.tag) {
    return false;
  }
  return a.tag == BP_T_UINT ? a.as.u == b.as.u : ValueView(a) == ValueView(b);
}

bool has_key(std::span<const bp_pair> headers, const bp_value& key) noexcept {
  for (const bp_pair& header : headers) {
    if (same_key(header.key, key)) {
      return true;
    }
  }
  return false;
}

}  // namespace

void compose_headers(const HeaderSources& sources, std::vector<bp_pair>& out) {
  const std::span<const bp_pair> configured = sources.configured.headers();
  out.assign(configured.begin(), configured.end());
  const uint64_t left_out = kNotCarried | (sources.keeps_body ? 0 : kOfBody);
  for (const bp_pair& header : sources.from.headers()) {
    if (!is_in(header, left_out) && !has_key(configured, header.key)) {
      out.push_back(header);
    }
  }
  const auto add = [&](uint32_t id, ValueView value) { out.push_back(Pair(id, value)); };
  const ValueView content_type_key(uint32_t{BP_H_CONTENT_TYPE});
  if (!sources.content_type.empty() && !has_key(configured, content_type_key)) {
    add(BP_H_CONTENT_TYPE, sources.content_type);
  }
  if (sources.expiry_ns) {
    add(BP_H_EXPIRY_NS, *sources.expiry_ns);
  }
  add(BP_H_HOPS, sources.hops);
}

}  // namespace backplane::route
