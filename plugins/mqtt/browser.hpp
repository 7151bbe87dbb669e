// SPDX-License-Identifier: Apache-2.0
// Browsing: MQTT has no list of topics; these are the ones that the instance has seen, and those
// that are seen within browse_time_s.
#pragma once

#include "client.hpp"
#include <backplane/sdk/hub.hpp>

#include <unordered_map>

namespace backplane::mqtt {

/// Of one instance. Any thread.
class Browser {
 public:
  Browser(const Host& host, const Settings& settings, Client& client);

  /// One message a topic below `filter`, with its path; ends by itself.
  Status browse(Op op, const std::string& filter);
  void cancel(Op op) noexcept;
  void credit(Op op, uint32_t n) noexcept;
  /// After the client has stopped, which ends what looks.
  void stop() { timeouts_.stop(); }

 private:
  class Look;
  /// An operation that has completed may come again, for another look: the number is a look's own.
  struct Looks {
    std::unordered_map<uint64_t, std::shared_ptr<Look>> by_number;
    std::unordered_map<bp_op*, uint64_t> by_operation;
    uint64_t next = 1;
  };

  std::shared_ptr<Look> find(Op op) noexcept;
  /// Takes it out; nothing when it has ended already.
  std::shared_ptr<Look> take(uint64_t number) noexcept;
  void end(uint64_t number);

  const Host& host_;
  const Settings& settings_;
  Client& client_;
  Guarded<Looks> looks_;
  Timeouts timeouts_;
};

}  // namespace backplane::mqtt
