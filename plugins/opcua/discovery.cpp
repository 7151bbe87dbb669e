// SPDX-License-Identifier: Apache-2.0
#include "discovery.hpp"

#include "error_map.hpp"

namespace backplane::opcua {
namespace {
constexpr std::string_view kAsking = "asking the server what it offers";
}

Status connection_status(const Tcp& tcp, UA_StatusCode status) {
  return tcp.reason().empty() ? bad_status(status, {})
                              : Status(BP_UNAVAILABLE, tcp.reason())
                                    .with_native(static_cast<int32_t>(status), kDomain);
}

Endpoints endpoints_of(const UA_GetEndpointsResponse& response) {
  Endpoints out;
  for (size_t i = 0; i < response.endpointsSize; ++i) {
    out.push_back(Endpoint::copy_of(response.endpoints[i]));
  }
  return out;
}

Discovery::Discovery(const Host& host, const Settings& settings, std::vector<std::string> addresses,
                     What what, Done done)
    : url_(settings.url),
      what_(what),
      done_(std::move(done)),
      connection_(host, settings, std::move(addresses),
                  {this,
                   [this](UA_SecureChannelState channel, UA_SessionState, UA_StatusCode status) {
                     changed(channel, status);
                   },
                   [this] { finish(Status(BP_UNAVAILABLE, "the server does not answer")); },
                   {}},
                  [&](UA_ClientConfig& config) {
                    config.noSession = true;
                    // An endpoint that is given is not looked for: the choice is not the library's.
                    config.endpoint.securityMode = UA_MESSAGESECURITYMODE_NONE;
                    replace(config.endpoint.securityPolicyUri, kNoPolicy);
                    replace(config.endpoint.endpointUrl, settings.url);
                  }) {}

void Discovery::start() {
  const UA_StatusCode status = connection_.connect();
  if (status != UA_STATUSCODE_GOOD) {
    finish(connection_status(connection_.tcp(), status));
  }
}

void Discovery::changed(UA_SecureChannelState channel, UA_StatusCode status) {
  if (status != UA_STATUSCODE_GOOD) {
    return finish(connection_status(connection_.tcp(), status));
  }
  if (channel == UA_SECURECHANNELSTATE_OPEN && !is_asked_ && done_) {
    ask();
  }
}

void Discovery::ask() {
  UA_GetEndpointsRequest endpoints;
  UA_GetEndpointsRequest_init(&endpoints);
  endpoints.endpointUrl = borrowed(url_);
  UA_FindServersRequest servers;
  UA_FindServersRequest_init(&servers);
  servers.endpointUrl = borrowed(url_);
  const auto callback = [](UA_Client* client, void*, UA_UInt32, void* response) {
    auto* self = static_cast<Discovery*>(Connection::owner_of(client));
    boundary([&] { self->answered(response); },
             [&](const Status& status) { self->finish(status); });
  };
  is_asked_ = true;
  const bool is_endpoints = what_ == What::kEndpoints;
  const UA_StatusCode status = __UA_Client_AsyncService(
      connection_.client(), is_endpoints ? static_cast<const void*>(&endpoints) : &servers,
      &UA_TYPES[is_endpoints ? UA_TYPES_GETENDPOINTSREQUEST : UA_TYPES_FINDSERVERSREQUEST],
      callback,
      &UA_TYPES[is_endpoints ? UA_TYPES_GETENDPOINTSRESPONSE : UA_TYPES_FINDSERVERSRESPONSE],
      nullptr, nullptr);
  if (status != UA_STATUSCODE_GOOD) {
    finish(bad_status(status, kAsking));
  }
}

void Discovery::answered(const void* response) {
  // Every response begins with its header.
  const UA_StatusCode status = static_cast<const UA_ResponseHeader*>(response)->serviceResult;
  if (status == UA_STATUSCODE_BADSECURECHANNELCLOSED) {
    is_asked_ = false;  // the library connects anew, by another name of the server
  } else if (status != UA_STATUSCODE_GOOD) {
    finish(bad_status(status, kAsking));
  } else {
    finish(Status::ok(), response);
  }
}

void Discovery::finish(const Status& status, const void* response) {
  connection_.tcp().forbid();
  if (done_) {
    std::exchange(done_, nullptr)(status, response);
  }
}

}  // namespace backplane::opcua
