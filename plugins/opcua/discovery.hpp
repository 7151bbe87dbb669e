// SPDX-License-Identifier: Apache-2.0
// Asks a server what it offers (GetEndpoints) over a channel without security, as the standard has
// it, and closes. Loop thread only.
#pragma once

#include "connection.hpp"
#include "endpoint_choice.hpp"

namespace backplane::opcua {

using Endpoints = std::vector<Endpoint>;

Endpoints endpoints_of(const UA_GetEndpointsResponse& response);

/// Not destroyed inside `done`, which is called once, and not after it is destroyed.
class Discovery {
 public:
  using Done = std::function<void(Result<Endpoints>)>;

  /// `host` outlives it.
  Discovery(const Host& host, const Settings& settings, std::vector<std::string> addresses,
            Done done);
  ~Discovery() { done_ = nullptr; }
  Discovery(const Discovery&) = delete;
  Discovery& operator=(const Discovery&) = delete;

  /// Perhaps calls `done` before it returns.
  void start();

 private:
  void changed(UA_SecureChannelState channel, UA_StatusCode status);
  void ask();
  void answered(const UA_GetEndpointsResponse& response);
  void finish(Result<Endpoints> result);

  const std::string url_;
  Done done_;
  bool is_asked_ = false;
  Connection connection_;
};

/// The status of a connection that was not made, or has ended.
Status connection_status(const Tcp& tcp, UA_StatusCode status);

}  // namespace backplane::opcua
