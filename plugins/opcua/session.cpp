// SPDX-License-Identifier: Apache-2.0
#include "session.hpp"

#include "error_map.hpp"
#include "library_log.hpp"
#include "values.hpp"

#include <open62541/client_config_default.h>

namespace backplane::opcua {
namespace {

constexpr std::string_view kNoSecurity = "http://opcfoundation.org/UA/SecurityPolicy#None";
constexpr UA_UInt32 kMaxNodesPerRead = 11705;
constexpr UA_UInt32 kMaxNodesPerWrite = 11707;
constexpr UA_UInt32 kMaxMonitoredItemsPerCall = 11714;
// The library gives each ten minutes. A quiet subscription answers one a keep-alive, the oldest
// first (Watches: at most a minute), so all of them have to come in turn in less.
constexpr UA_UInt16 kPublishRequests = 4;
// A server that leaves so many requests unanswered is of no use, and each costs memory.
constexpr size_t kMostLate = 1000;

UA_UInt32 milliseconds(std::chrono::nanoseconds time) {
  return static_cast<UA_UInt32>(
      std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
}

/// To what the server takes; 0 is as much as there is.
void lower(size_t& most, const UA_Variant& limit) {
  if (UA_Variant_hasScalarType(&limit, &UA_TYPES[UA_TYPES_UINT32])) {
    if (const auto n = *static_cast<const UA_UInt32*>(limit.data); n != 0) {
      most = std::min<size_t>(most, n);
    }
  }
}

void replace(UA_String& text, std::string_view with) {
  UA_String_clear(&text);
  text = allocated(with);
}

}  // namespace

Session::Session(const Host& host, const Settings& settings, std::vector<std::string> addresses,
                 Events events)
    : keepalive_ms_(milliseconds(settings.keepalive)),
      events_(std::move(events)),
      request_timeout_(settings.request_timeout),
      overdue_(host, [this] { give_up_overdue(); }),
      logger_(logger_to(host)),
      loop_(host, &logger_),
      tcp_(host, loop_, std::move(addresses), settings.port) {
  UA_ClientConfig config{};
  config.clientContext = this;
  config.logging = &logger_;
  config.eventLoop = loop_.native();
  config.externalEventLoop = true;
  config.timeout = std::max(milliseconds(settings.request_timeout), UA_UInt32{1});
  config.requestedSessionTimeout = milliseconds(settings.session_timeout);
  config.stateCallback = &Session::on_state;
  config.noNewSession = true;
  config.outStandingPublishRequests = kPublishRequests;
  config.inactivityCallback = [](UA_Client* client) {
    static_cast<Session*>(UA_Client_getContext(client))
        ->end(Status(BP_UNAVAILABLE, "the server does not answer"));
  };
  config.subscriptionInactivityCallback = [](UA_Client* client, UA_UInt32, void*) {
    static_cast<Session*>(UA_Client_getContext(client))
        ->end(Status(BP_UNAVAILABLE, "the server is silent about a subscription"));
  };
  config.securityMode = UA_MESSAGESECURITYMODE_NONE;
  if (UA_ClientConfig_setDefault(&config) != UA_STATUSCODE_GOOD) {
    UA_ClientConfig_clear(&config);
    throw std::bad_alloc();
  }
  replace(config.securityPolicyUri, kNoSecurity);
  replace(config.endpointUrl, settings.url);
  replace(config.sessionName, concat("backplane ", host.instance()));
  client_ = UA_Client_newWithConfig(&config);
  if (client_ == nullptr) {
    UA_ClientConfig_clear(&config);
    throw std::bad_alloc();
  }
}

Session::~Session() {
  phase_ = Phase::kDown;
  tcp_.forbid();
  tcp_.abort();  // first: with a session on an open channel the library would wait for the server
  UA_Client_delete(client_);
}

void Session::connect() {
  const UA_StatusCode status = __UA_Client_connect(client_, true);
  if (status != UA_STATUSCODE_GOOD) {
    end(bad_status(status, {}));
  }
}

bool Session::is_open() const noexcept {
  UA_SecureChannelState channel = UA_SECURECHANNELSTATE_CLOSED;
  UA_Client_getState(client_, &channel, nullptr, nullptr);
  return channel == UA_SECURECHANNELSTATE_OPEN;
}

void Session::close(std::function<void()> done) {
  const bool says_so = (is_up() || phase_ == Phase::kReading) && is_open();
  phase_ = Phase::kClosing;
  tcp_.forbid();
  if (!says_so) {
    phase_ = Phase::kDown;
    return done();
  }
  closed_ = std::move(done);
  UA_Client_disconnectAsync(client_);
}

void Session::on_state(UA_Client* client, UA_SecureChannelState channel, UA_SessionState session,
                       UA_StatusCode status) {
  auto* self = static_cast<Session*>(UA_Client_getContext(client));
  boundary([&] { self->state_changed(channel, session, status); }, [](const Status&) noexcept {});
}

void Session::state_changed(UA_SecureChannelState channel, UA_SessionState session,
                            UA_StatusCode status) {
  switch (phase_) {
    case Phase::kConnecting:
      if (status != UA_STATUSCODE_GOOD) {
        return lost(status);
      }
      if (session == UA_SESSIONSTATE_ACTIVATED) {
        phase_ = Phase::kReading;
        tcp_.forbid();
        read_server();
      }
      return;
    case Phase::kReading:
    case Phase::kUp:
      if (status != UA_STATUSCODE_GOOD || session != UA_SESSIONSTATE_ACTIVATED) {
        lost(status != UA_STATUSCODE_GOOD
                 ? status
                 : static_cast<UA_StatusCode>(UA_STATUSCODE_BADCONNECTIONCLOSED));
      }
      return;
    case Phase::kClosing:
      if (channel == UA_SECURECHANNELSTATE_CLOSED && closed_) {
        phase_ = Phase::kDown;
        const auto done = std::move(closed_);
        done();
      }
      return;
    case Phase::kDown:
      return;
  }
}

Status Session::reason(UA_StatusCode status) const {
  return tcp_.reason().empty() ? bad_status(status, {})
                               : Status(BP_UNAVAILABLE, tcp_.reason())
                                     .with_native(static_cast<int32_t>(status), kDomain);
}

/// What is read is needed; that it is answered is the proof.
void Session::read_server() {
  std::array<UA_ReadValueId, 4> nodes{};
  nodes[0].nodeId = UA_NODEID_NUMERIC(0, UA_NS0ID_SERVER_NAMESPACEARRAY);
  nodes[1].nodeId = UA_NODEID_NUMERIC(0, kMaxNodesPerRead);
  nodes[2].nodeId = UA_NODEID_NUMERIC(0, kMaxNodesPerWrite);
  nodes[3].nodeId = UA_NODEID_NUMERIC(0, kMaxMonitoredItemsPerCall);
  for (UA_ReadValueId& node : nodes) {
    node.attributeId = UA_ATTRIBUTEID_VALUE;
  }
  UA_ReadRequest request;
  UA_ReadRequest_init(&request);
  request.nodesToRead = nodes.data();
  request.nodesToReadSize = nodes.size();
  ask<UA_ReadResponse, UA_TYPES_READRESPONSE>(
      request, UA_TYPES_READREQUEST, [this](const UA_ReadResponse& response) {
        if (phase_ != Phase::kReading) {
          return;
        }
        const UA_StatusCode status = response.responseHeader.serviceResult;
        if (status != UA_STATUSCODE_GOOD || response.resultsSize != 4) {
          return end(bad_status(status, "reading the server's namespaces"));
        }
        set_namespaces(response.results[0].value);
        lower(most_reads_, response.results[1].value);
        lower(most_writes_, response.results[2].value);
        lower(most_items_, response.results[3].value);
        phase_ = Phase::kUp;
        // Not before: while a session is being made, the library would ask in its name, and the
        // server would refuse that one.
        UA_Client_getConfig(client_)->connectivityCheckInterval = keepalive_ms_;
        events_.up();
      });
}

void Session::send(const void* request, const UA_DataType& request_type,
                   const UA_DataType& response_type, Answered answered) {
  const uint64_t number = ++last_asked_;
  const int64_t due = monotonic_after(request_timeout_);
  asked_.try_emplace(number, Asked{due, std::move(answered)});
  const auto callback = [](UA_Client* client, void* user, UA_UInt32, void* response) {
    static_cast<Session*>(UA_Client_getContext(client))
        ->take(reinterpret_cast<uintptr_t>(user), response);
  };
  const UA_StatusCode status =
      is_open() ? __UA_Client_AsyncService(client_, request, &request_type, callback,
                                           &response_type, reinterpret_cast<void*>(number), nullptr)
                : static_cast<UA_StatusCode>(UA_STATUSCODE_BADNOTCONNECTED);
  if (status != UA_STATUSCODE_GOOD) {
    const auto failed = asked_.extract(number);
    answer(failed.mapped().answered, nullptr, status);
  } else if (!is_timing_) {
    is_timing_ = overdue_.at(due).is_ok();
  }
}

void Session::take(uint64_t number, const void* response) {
  const auto asked = asked_.extract(number);
  if (asked.empty()) {
    --late_;
    return;
  }
  // Every response begins with its header.
  answer(asked.mapped().answered, response,
         static_cast<const UA_ResponseHeader*>(response)->serviceResult);
}

void Session::answer(const Answered& answered, const void* response,
                     UA_StatusCode status) noexcept {
  if (is_up() && is_loss(status)) {
    lost(status);  // whoever is answered finds no session
  }
  boundary([&] { answered(response, status); },
           [&](const Status&) noexcept {
             boundary([&] { answered(nullptr, UA_STATUSCODE_BADOUTOFMEMORY); },
                      [](const Status&) noexcept {});
           });
}

void Session::give_up_overdue() {
  const int64_t now = monotonic_ns();
  while (!asked_.empty() && asked_.begin()->second.due <= now) {
    const auto asked = asked_.extract(asked_.begin());
    ++late_;
    answer(asked.mapped().answered, nullptr, UA_STATUSCODE_BADTIMEOUT);
  }
  is_timing_ = !asked_.empty() && overdue_.at(asked_.begin()->second.due).is_ok();
  if (late_ > kMostLate) {
    end(Status(BP_UNAVAILABLE, "the server has left ", late_, " requests unanswered"));
  }
}

void Session::set_namespaces(const UA_Variant& told) {
  if (UA_Variant_hasArrayType(&told, &UA_TYPES[UA_TYPES_STRING])) {
    const auto* first = static_cast<const UA_String*>(told.data);
    namespaces_.clear();
    for (size_t i = 0; i < told.arrayLength; ++i) {
      namespaces_.emplace_back(view(first[i]));
    }
  }
}

void Session::read_namespaces(std::function<void()> done) {
  UA_ReadValueId node;
  UA_ReadValueId_init(&node);
  node.nodeId = UA_NODEID_NUMERIC(0, UA_NS0ID_SERVER_NAMESPACEARRAY);
  node.attributeId = UA_ATTRIBUTEID_VALUE;
  UA_ReadRequest request;
  UA_ReadRequest_init(&request);
  request.nodesToRead = &node;
  request.nodesToReadSize = 1;
  ask<UA_ReadResponse, UA_TYPES_READRESPONSE>(
      request, UA_TYPES_READREQUEST,
      [this, done = std::move(done)](const UA_ReadResponse& response) {
        if (response.resultsSize == 1) {
          set_namespaces(response.results[0].value);
        }
        done();
      });
}

void Session::end(const Status& status) {
  if (phase_ == Phase::kDown || phase_ == Phase::kClosing) {
    return;
  }
  phase_ = Phase::kDown;
  tcp_.forbid();
  events_.down(status);
}

}  // namespace backplane::opcua
