// SPDX-License-Identifier: Apache-2.0
// Reading: the retained message of a topic, or the next one if it comes first.
#pragma once

#include "client.hpp"

namespace backplane::mqtt {

/// Of one instance. Any thread.
class Reader {
 public:
  Reader(const Host& host, const Settings& settings, Client& client);

  /// Completes with the message, or after read_timeout_s: NOT_FOUND when the broker has none,
  /// UNAVAILABLE when it was not asked.
  Status read(Op op, const std::string& topic);
  void cancel(Op op) noexcept;
  /// After the client has stopped, which ends what waits.
  void stop() { timeouts_.stop(); }

 private:
  class Once;
  using Reads = Pending<uint64_t, std::shared_ptr<Once>>;

  void end(uint64_t number, const Status& status);

  const Host& host_;
  const Settings& settings_;
  Client& client_;
  Reads reads_;
  std::atomic<uint64_t> next_{1};
  Timeouts timeouts_;
};

}  // namespace backplane::mqtt
