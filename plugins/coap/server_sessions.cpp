// SPDX-License-Identifier: Apache-2.0
// The part of Server that knows who its peers are. Design notes: server.hpp.
#include "server.hpp"

namespace backplane::coap {

std::unique_ptr<DtlsServer> Server::make_dtls(const Config& config) const {
  if (!authority_.is_secure) {
    return nullptr;
  }
  return std::make_unique<DtlsServer>(host_, config.find<std::string>("credentials").value_or(""),
                                      config.strings("peers"));
}

Peer& Server::peer_of(coap_session_t* session) {
  auto* const peer = static_cast<Peer*>(coap_session_get_app_data(session));
  if (peer == nullptr) {
    throw std::bad_alloc();  // on_session had no memory for it
  }
  return *peer;
}

void Server::on_event(coap_session_t* session, coap_event_t event) {
  switch (event) {
    case COAP_EVENT_SERVER_SESSION_NEW:
      options_.apply(session);
      // With DTLS anybody's first datagram makes one: it counts when the handshake is over.
      if (!dtls_) {
        on_session(session, true);
      }
      break;
    case COAP_EVENT_DTLS_CONNECTED:
      on_session(session, true);
      break;
    case COAP_EVENT_DTLS_ERROR:
      dtls_->refused(session);
      break;
    case COAP_EVENT_DTLS_CLOSED:
      dtls_->ended(session, coap_session_get_app_data(session) != nullptr);
      break;
    case COAP_EVENT_SERVER_SESSION_DEL:
      on_session(session, false);
      break;
    default:
      break;
  }
}

void Server::on_session(coap_session_t* session, bool is_new) {
  if (is_new) {
    auto peer = std::make_unique<Peer>();
    if (dtls_) {
      peer->proof = dtls_->proof(session);
    }
    coap_session_set_app_data(session, peer.get());
    peers_[session] = std::move(peer);
  } else if (const auto found = peers_.find(session); found != peers_.end()) {
    observers_.forget(*found->second);
    observers_gauge_.set(static_cast<int64_t>(observers_.count()));
    peers_.erase(found);
    inbox_.forget(session);
    answers_.erase_if([session](const std::string& key) { return belongs_to(key, session); });
  }
  peers_gauge_.set(static_cast<int64_t>(peers_.size()));
}

}  // namespace backplane::coap
