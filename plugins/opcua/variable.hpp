// SPDX-License-Identifier: Apache-2.0
// A declared variable of a server: its present value, and who watches it. The hub is for any
// thread, all else for the loop.
//
// Design notes.
// - The value lies here, not in the library's node: the library asks before it is changed, so that
//   a client's write can be refused when a watcher that drops nothing has no room.
// - It lies here once: the hub asks for it when a watcher comes, and there is no message of what
//   nobody watches.
// - A client's write reaches the watchers when the library is done with the client's bytes; the
//   client is answered before. Our own is done when they have acknowledged it.
#pragma once

#include "server_settings.hpp"
#include "values.hpp"
#include "variable_history.hpp"
#include <backplane/sdk/hub.hpp>

#include <open62541/plugin/nodestore.h>

namespace backplane::opcua {

class Variable {
 public:
  /// Told of each change by a client while somebody watches, with the message for the watchers.
  using Changed = std::function<void(Variable&, MessageView)>;

  /// Throws Error: the initial value is not of the variable's type.
  Variable(const Host& host, const DeclaredVariable& declared, Changed changed);
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

  const DeclaredVariable& declared() const noexcept { return declared_; }
  Hub& hub() noexcept { return hub_; }
  /// How the library's node reads and writes it.
  UA_ValueBackend backend() noexcept;

  /// The message's value in the variable's type, with its status and times. Throws Error
  /// (INVALID_ARGUMENT): that would lose something.
  DataValue converted(MessageView message) const;

  /// Gives a message to the watchers; `settled` is the hub's.
  void publish(MessageView message, Hub::Settled settled = {});
  /// The same with the present value.
  void publish(Hub::Settled settled = {});

  /// Null: it keeps none.
  const VariableHistory* history() const noexcept { return history_ ? &*history_ : nullptr; }

  /// While it is set, a write is our own: it is not refused, nor told to `changed`.
  bool is_own_write = false;

 private:
  void remember(const UA_DataValue& value);
  std::optional<OwnedMessage> present() const;
  UA_StatusCode take(const UA_NumericRange* range, const UA_DataValue& value);

  // What each change needs comes first.
  const DeclaredVariable& declared_;
  DataValue value_;
  UA_DataValue* place_ = value_.get();  // for the library, which wants to be shown it
  std::shared_ptr<std::atomic<bool>> is_full_ = std::make_shared<std::atomic<bool>>(false);
  Hub hub_;
  std::optional<VariableHistory> history_;
  const Changed changed_;
};

}  // namespace backplane::opcua
