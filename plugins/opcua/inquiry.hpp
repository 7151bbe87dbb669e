// SPDX-License-Identifier: Apache-2.0
// READ of `@Endpoints` and `@Servers`: what a server says of itself, without a session, so also
// when none can be made. Loop thread only.
//
// Design notes. The addresses are those of the client's latest look-up of its server's name; before
// the first one an inquiry waits for it.
#pragma once

#include "address.hpp"
#include "discovery.hpp"
#include "requests.hpp"
#include <backplane/sdk/loop.hpp>

#include <map>

namespace backplane::opcua {

class Inquiries {
 public:
  Inquiries(const Host& host, const Settings& settings, Requests& requests);
  ~Inquiries();
  Inquiries(const Inquiries&) = delete;
  Inquiries& operator=(const Inquiries&) = delete;

  /// For the operation of the key; `attribute` is kEndpoints or kServers.
  void begin(uint64_t key, UA_UInt32 attribute);
  /// Nobody waits for it any more: its connection is closed.
  void cancel(uint64_t key) { end(key, Status(BP_CANCELLED), nullptr); }
  void addresses_are(const Result<std::vector<std::string>>& found);
  /// None begins any more, and those that there are are forgotten.
  void stop();

 private:
  struct Inquiry {
    Discovery::What what;
    std::optional<Discovery> discovery;
    std::optional<Timer> timeout;
  };
  void ask(uint64_t key);
  void end(uint64_t key, const Status& status, const void* response);

  const Host& host_;
  const Settings& settings_;
  Requests& requests_;
  std::optional<Result<std::vector<std::string>>> addresses_;
  std::map<uint64_t, std::unique_ptr<Inquiry>> all_;
  std::vector<std::unique_ptr<Inquiry>> retired_;
  bool is_stopped_ = false;
  Wakeup retire_;
};

}  // namespace backplane::opcua
