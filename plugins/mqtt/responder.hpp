// SPDX-License-Identifier: Apache-2.0
// Serving: requests of MQTT 5 as operations on a handler, its answers as publications to the
// response topic.
#pragma once

#include "client.hpp"

#include <unordered_map>

namespace backplane::mqtt {

/// Of one instance. Any thread. A message with a response topic is a CALL on the handler; one
/// without is a WRITE.
class Responders {
 public:
  Responders(const Host& host, const Settings& settings, Client& client);

  /// The body of op is the handler. Pends until cancelled, refused or stopped, and no request is
  /// left.
  Status serve(Op op, const std::string& filter);
  void cancel(Op op) noexcept;

 private:
  class Responder;

  const Host& host_;
  const Settings& settings_;
  Client& client_;
  Counter dropped_;
  Counter failed_;
  std::shared_ptr<Guarded<std::unordered_map<bp_op*, std::shared_ptr<Responder>>>> responders_;
};

}  // namespace backplane::mqtt
