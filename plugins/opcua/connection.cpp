// SPDX-License-Identifier: Apache-2.0
#include "connection.hpp"

#include "library_log.hpp"

#include <open62541/client_config_default.h>

namespace backplane::opcua {

UA_UInt32 milliseconds(std::chrono::nanoseconds time) noexcept {
  return static_cast<UA_UInt32>(
      std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
}

Connection::Connection(const Host& host, const Settings& settings,
                       std::vector<std::string> addresses, Events events,
                       const std::function<void(UA_ClientConfig&)>& configure)
    : events_(std::move(events)),
      logger_(logger_to(host)),
      loop_(host, &logger_),
      tcp_(host, loop_, std::move(addresses), settings.port, events_.after_read) {
  UA_ClientConfig config{};
  config.clientContext = this;
  config.logging = &logger_;
  config.eventLoop = loop_.native();
  config.externalEventLoop = true;
  config.timeout = std::max(milliseconds(settings.request_timeout), UA_UInt32{1});
  config.requestedSessionTimeout = milliseconds(settings.session_timeout);
  config.stateCallback = [](UA_Client* client, UA_SecureChannelState channel,
                            UA_SessionState session, UA_StatusCode status) {
    const auto* self = static_cast<Connection*>(UA_Client_getContext(client));
    boundary([&] { self->events_.changed(channel, session, status); },
             [](const Status&) noexcept {});
  };
  config.inactivityCallback = [](UA_Client* client) {
    const auto* self = static_cast<Connection*>(UA_Client_getContext(client));
    boundary([&] { self->events_.silent(); }, [](const Status&) noexcept {});
  };
  try {
    replace(config.endpointUrl, settings.url);
    replace(config.sessionName, concat("backplane ", host.instance()));
    configure(config);
    if (UA_ClientConfig_setDefault(&config) == UA_STATUSCODE_GOOD) {
      client_ = UA_Client_newWithConfig(&config);
    }
    if (client_ == nullptr) {
      throw std::bad_alloc();
    }
  } catch (...) {
    UA_ClientConfig_clear(&config);
    throw;
  }
}

Connection::~Connection() {
  tcp_.forbid();
  tcp_.abort();  // first: with a session on an open channel the library would wait for the server
  UA_Client_delete(client_);
}

bool Connection::is_open() const noexcept {
  UA_SecureChannelState channel = UA_SECURECHANNELSTATE_CLOSED;
  UA_Client_getState(client_, &channel, nullptr, nullptr);
  return channel == UA_SECURECHANNELSTATE_OPEN;
}

}  // namespace backplane::opcua
