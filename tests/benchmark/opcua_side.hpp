// SPDX-License-Identifier: Apache-2.0
// One OPC UA session of a benchmark: the plugin's, or bare open62541's. Both do the same work with
// the same options, one thread each, and an application that goes on where the library tells it
// something.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace backplane::benchmark {

// What is done in a session. Everything is called on one thread, that of the session.
class OpcuaWork {
 public:
  virtual ~OpcuaWork() = default;
  virtual void begin() = 0;
  // One more request, one more value of an item. True: the work is over.
  virtual bool answered() = 0;
  virtual bool notified() = 0;
  [[nodiscard]] virtual bool is_over() const = 0;
};

class OpcuaSide {
 public:
  virtual ~OpcuaSide() = default;
  // Returns when the work is over; throws when it does not come to its end.
  virtual void run(OpcuaWork& work) = 0;
  // For the work, while it runs: one request for `nodes` nodes, from ns=1;s=N0 on. Of each the
  // status and the value, a Double, are looked at.
  virtual void read() = 0;
  // Likewise: a new value for ns=1;s=Go, or for each of the nodes.
  virtual void write() = 0;
  // Items for the values of `items` nodes, made or gone when it returns. Not while work runs.
  virtual void watch() = 0;
  virtual void leave() = 0;
  // Lives for as long, with the items that there are: the values that it was told.
  virtual std::uint64_t idle(double seconds) = 0;
};

// Files and a folder, for Basic256Sha256 SignAndEncrypt; empty: no security.
struct OpcuaSecurity {
  std::string certificate;  // PEM
  std::string key;          // PEM
  std::string pki;          // where the plugin finds whom it trusts

  [[nodiscard]] bool is_secured() const { return !certificate.empty(); }
};

struct OpcuaOptions {
  std::uint16_t port = 0;
  unsigned nodes = 1;        // of a request
  unsigned outstanding = 1;  // requests, at most
  bool is_each = false;      // the plugin has an operation for each node, not one for all
  bool writes_nodes = false;
  unsigned items = 0;
  double sampling_ms = 0;
  double publishing_ms = 10;
  unsigned queue = 16;
  OpcuaSecurity security{};
};

constexpr int kOpcuaPatienceSeconds = 60;

std::unique_ptr<OpcuaSide> opcua_plugin(const OpcuaOptions& options);
std::unique_ptr<OpcuaSide> open62541_raw(const OpcuaOptions& options);

}  // namespace backplane::benchmark
