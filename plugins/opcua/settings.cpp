// SPDX-License-Identifier: Apache-2.0
#include "settings.hpp"

#include "native.hpp"

#include <open62541/util.h>

namespace backplane::opcua {

Settings::Settings(const Config& config)
    : url(config.string("url")),
      connect_timeout(config.seconds("connect_timeout_s")),
      request_timeout(config.seconds("request_timeout_s")),
      session_timeout(config.seconds("session_timeout_s")),
      keepalive(config.seconds("keepalive_s")),
      publishing(config.seconds("publishing_s")),
      max_requests(config.integer<size_t>("max_requests")) {
  if (keepalive >= session_timeout) {
    throw Error(
        BP_INVALID_ARGUMENT,
        "configuration: keepalive_s must be less than session_timeout_s: the server forgets "
        "a session that it hears nothing of");
  }
  const UA_String text = borrowed(url);
  UA_String host = UA_STRING_NULL;
  UA_String path = UA_STRING_NULL;
  if (UA_parseEndpointUrl(&text, &host, &port, &path) != UA_STATUSCODE_GOOD || host.length == 0) {
    throw Error(BP_INVALID_ARGUMENT, "configuration: url '", url,
                "': expected opc.tcp://HOST[:PORT][/PATH]");
  }
  address = view(host);
  if (address.starts_with('[') && address.ends_with(']')) {
    address = address.substr(1, address.size() - 2);
  }
}

}  // namespace backplane::opcua
