// SPDX-License-Identifier: Apache-2.0
#include "observers.hpp"

namespace backplane::coap {
namespace {

/// All options but Observe and ETag: at least as fine as the key by which the library finds the
/// registration that a new one replaces (RFC 7641, 4.1).
std::string options_of(const coap_pdu_t* request) {
  std::string out;
  coap_opt_iterator_t iterator;
  coap_option_iterator_init(request, &iterator, COAP_OPT_ALL);
  while (const coap_opt_t* option = coap_option_next(&iterator)) {
    if (iterator.number == COAP_OPTION_OBSERVE || iterator.number == COAP_OPTION_ETAG) {
      continue;
    }
    const uint16_t head[] = {iterator.number, static_cast<uint16_t>(coap_opt_length(option))};
    out.append(reinterpret_cast<const char*>(head), sizeof head);
    out.append(reinterpret_cast<const char*>(coap_opt_value(option)), coap_opt_length(option));
  }
  return out;
}

}  // namespace

Observers::Answer Observers::look_at(Peer& peer, const void* resource, const coap_pdu_t* request) {
  const auto observe = option_uint(request, COAP_OPTION_OBSERVE);
  if (!observe) {
    return Answer::kNone;
  }
  auto& known = peer.observations;
  const Token token(coap_pdu_get_token(request));
  const auto same = std::find_if(known.begin(), known.end(), [&](const Peer::Observation& item) {
    return item.resource == resource && item.token == token;
  });
  if (*observe != COAP_OBSERVE_ESTABLISH) {
    if (same != known.end()) {
      known.erase(same);
      --count_;
    }
    return Answer::kNone;
  }
  if (same != known.end()) {
    return Answer::kKnown;
  }
  std::string options = options_of(request);
  for (Peer::Observation& item : known) {
    if (item.resource == resource && item.options == options) {
      item.token = token;  // the library has put it in the old one's place
      return Answer::kNew;
    }
  }
  if (count_ >= most_) {
    return Answer::kTooMany;
  }
  known.push_back({resource, token, std::move(options)});
  ++count_;
  return Answer::kNew;
}

}  // namespace backplane::coap
