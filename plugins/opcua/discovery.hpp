// SPDX-License-Identifier: Apache-2.0
// Asks a server what it offers (GetEndpoints), or which servers it knows (FindServers), over a
// channel without security, as the standard has it (part 4, 5.4), and closes. Loop thread only.
#pragma once

#include "connection.hpp"
#include "endpoint_choice.hpp"

namespace backplane::opcua {

using Endpoints = std::vector<Endpoint>;

Endpoints endpoints_of(const UA_GetEndpointsResponse& response);

/// Not destroyed inside `done`, which is called once, and not after it is destroyed.
class Discovery {
 public:
  enum class What : uint8_t { kEndpoints, kServers };
  /// The response, of a UA type by What, is null with an error.
  using Done = std::function<void(const Status&, const void* response)>;

  /// `host` outlives it.
  Discovery(const Host& host, const Settings& settings, std::vector<std::string> addresses,
            What what, Done done);
  ~Discovery() { done_ = nullptr; }
  Discovery(const Discovery&) = delete;
  Discovery& operator=(const Discovery&) = delete;

  /// Perhaps calls `done` before it returns.
  void start();

 private:
  void changed(UA_SecureChannelState channel, UA_StatusCode status);
  void ask();
  void answered(const void* response);
  void finish(const Status& status, const void* response = nullptr);

  const std::string url_;
  const What what_;
  Done done_;
  bool is_asked_ = false;
  Connection connection_;
};

/// The status of a connection that was not made, or has ended.
Status connection_status(const Tcp& tcp, UA_StatusCode status);

}  // namespace backplane::opcua
