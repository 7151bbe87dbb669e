// SPDX-License-Identifier: Apache-2.0
// A declared variable of a server: its present value, and who watches it. The hub is for any
// thread, all else for the loop.
//
// Design notes.
// - The value lies here, not in the library's node: the library asks before it is changed, so that
//   a client's write can be refused when a watcher that drops nothing has no room for it and for
//   those before it that are still to be told: one receive brings hundreds.
// - It lies here once: the hub is made when a watcher comes, whom it gives the present value, and
//   there is no message of what nobody watches.
// - A client's write reaches the watchers when the library is done with the client's bytes; the
//   client is answered before. Our own is done when they have acknowledged it.
#pragma once

#include "server_settings.hpp"
#include "values.hpp"
#include "variable_history.hpp"
#include <backplane/sdk/hub.hpp>

#include <atomic>
#include <memory>
#include <open62541/plugin/nodestore.h>
#include <open62541/server.h>

namespace backplane::opcua {

class alignas(64) Variable {
 public:
  /// Told of each change by a client while somebody watches, with the message for the watchers,
  /// which tell() gives them.
  using Changed = std::function<void(Variable&, MessageView)>;

  /// What is borrowed outlives it. Throws Error: the initial value is not of the variable's type.
  Variable(const Host& host, const DeclaredVariable& declared, const Changed& changed);
  ~Variable() { delete hub_.load(); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

  const DeclaredVariable& declared() const noexcept { return declared_; }
  RoleSet readers() const noexcept { return readers_; }
  RoleSet writers() const noexcept { return writers_; }
  /// [any]
  Hub& hub();
  size_t watchers() const noexcept {
    const Hub* const hub = hub_.load(std::memory_order_acquire);
    return hub == nullptr ? 0 : hub->watchers();
  }
  /// How the library's node reads and writes it.
  UA_ValueBackend backend() noexcept;

  /// The message's value in the variable's type, with its status and times. Throws Error
  /// (INVALID_ARGUMENT): that would lose something.
  DataValue converted(MessageView message) const;

  /// Gives the watchers a client's change.
  void tell(MessageView message);
  bool has_untold() const noexcept { return untold_ > 0; }
  /// Gives them the present value; `settled` is the hub's.
  void publish(Hub::Settled settled);

  /// Our own, which is not refused for want of room, nor told to `changed`.
  UA_StatusCode write(UA_Server* server, const UA_WriteValue& what) noexcept;

  /// Null: it keeps none.
  const VariableHistory* history() const noexcept { return history_.get(); }

 private:
  void remember(const UA_DataValue& value);
  std::optional<OwnedMessage> present() const;
  UA_StatusCode take(const UA_NumericRange* range, const UA_DataValue& value);

  // What each change needs, in two lines of the processor's cache: thousands do not stay there.
  DataValue value_;
  UA_DataValue* place_ = value_.get();  // for the library, which wants to be shown it
  std::atomic<Hub*> hub_{nullptr};      // owned; null: nobody has watched yet
  const RoleSet readers_;
  const RoleSet writers_;
  const std::unique_ptr<VariableHistory> history_;  // null: it keeps none
  const UA_UInt16 type_;                            // built-in
  bool is_own_write_ = false;

  const DeclaredVariable& declared_;
  const Host& host_;
  const Changed& changed_;
  size_t untold_ = 0;  // changes by clients
  size_t untold_bytes_ = 0;
};

}  // namespace backplane::opcua
