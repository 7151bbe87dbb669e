// SPDX-License-Identifier: Apache-2.0
// Operations of the own server with many messages, such as BROWSE: they are there at once, and are
// given as the credit takes them.
#pragma once

#include <backplane/sdk/loop.hpp>
#include <backplane/sdk/message.hpp>
#include <backplane/sdk/operation.hpp>

#include <functional>
#include <map>
#include <optional>

namespace backplane::opcua {

/// Those of a server. What may be called on any thread only asks the loop.
class LocalStreams {
 public:
  struct Messages {
    size_t count = 0;
    std::function<void(size_t i, MessageBuilder& message)> fill = {};
  };

  /// `host` outlives it.
  explicit LocalStreams(const Host& host) : host_(host) {}
  LocalStreams(const LocalStreams&) = delete;
  LocalStreams& operator=(const LocalStreams&) = delete;

  /// `make` is called on the loop; what it throws ends the operation.
  Status begin(Op op, std::function<Messages()> make);
  /// No-ops for an operation that is none of these.
  void cancel(Op op) noexcept { poke(op, true); }
  void credit(Op op) noexcept { poke(op, false); }
  /// Ends all, and refuses new ones. [loop]
  void stop(const Status& status);

 private:
  struct Stream {
    Messages messages;
    size_t next = 0;
  };
  void poke(Op op, bool cancelled) noexcept;
  void deliver(Op op);
  void finish(Op op, const Status& status);

  const Host& host_;
  // ---- the loop's ----
  std::map<bp_op*, Stream> streams_;
  std::optional<Status> stopped_;
};

}  // namespace backplane::opcua
