// SPDX-License-Identifier: Apache-2.0
// The server of an instance: the library's, on the kernel's loop, with what was declared. Loop
// thread only, but for the address space, which open() looks into on any thread.
//
// Design notes.
// - Nothing is called from inside the library: what a client has written or called is noted, and
//   told when the library is done with the client's bytes (Listener). So watchers and handlers may
//   do what they like, also to this server.
// - A call of a method is an asynchronous operation of the library. It sends results that it is
//   given only once a second, by a timer; that timer is run when there is one.
// - The library does not look whether such a call has the right arguments and object; it does when
//   it is given the call again, as one of our own. The method's function then only takes the
//   inputs.
#pragma once

#include "access.hpp"
#include "calls.hpp"
#include "event_loop.hpp"
#include "listener.hpp"
#include "local_stream.hpp"
#include "security.hpp"
#include "server_events.hpp"
#include <backplane/sdk/pending.hpp>

#include <variant>

namespace backplane::opcua {

class Server {
 public:
  /// Throws Error for a configuration that cannot be. [control]
  Server(const Host& host, const Config& config);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Binds the port and lets clients in. Throws Error.
  void start();
  /// Takes no more calls; `drained` is called when those that it has are answered.
  void drain(std::function<void()> drained);
  /// Calls `drained` now, if it is still to come.
  void end_drain();
  /// Ends watches, browses, calls and connections; `stopped` is called when no operation and no
  /// callback is left. Never from inside the library.
  void stop(std::function<void()> stopped);

  /// "opc.tcp://127.0.0.1:4840", with the port that was bound.
  std::string url() const { return settings_.url(listener_.port()); }
  const AddressSpace& nodes() const noexcept { return nodes_; }
  const Host& host() const noexcept { return host_; }
  Calls& calls() noexcept { return calls_; }
  LocalStreams& streams() noexcept { return streams_; }
  Listener& listener() noexcept { return listener_; }
  /// A number for an operation, by which it is cancelled. [any]
  uint64_t new_operation() noexcept { return next_operation_.fetch_add(1); }

  /// Throws Error (NOT_FOUND): the library's server has no such node.
  void require(const Address& address, std::string_view text) const;
  /// By any address, also of the standard's nodes. Throws Error.
  Status read(const Address& address, std::string_view text, Op op);
  /// Done when the watchers that acknowledge have the value.
  Status write(const AddressSpace::Node& node, std::string_view text, Op op);
  void cancel_write(Op op) noexcept { writes_.cancel(op); }
  /// An event at an object. Throws Error.
  void raise(const Address& address, std::string_view text, MessageView event);
  /// Always PENDING: it is completed by its answer.
  Status call(Method& method, Op op, uint64_t operation);
  void cancel_call(uint64_t operation);
  /// The references of a node. Throws Error.
  Native<UA_BrowseResult, UA_TYPES_BROWSERESULT> browse(const Address& address,
                                                        std::string_view text);

 private:
  struct Change {
    Variable* variable;
    OwnedMessage message;
  };
  struct ClientCall {
    void* context;  // the library's name for it
    uint64_t number;
    uintptr_t connection;
    Native<UA_CallMethodRequest, UA_TYPES_CALLMETHODREQUEST> request;
  };

  static Server& self(UA_Server* server) noexcept {
    return *static_cast<Server*>(UA_Server_getConfig(server)->context);
  }
  /// Throws Error: it does not run.
  UA_Server* running() const;
  NodeId resolve(const Address& address, std::string_view text) const;
  static UA_StatusCode on_call(UA_Server* server, const UA_NodeId* session, void* session_context,
                               const UA_NodeId* method, void* method_context,
                               const UA_NodeId* object, void* object_context, size_t n_inputs,
                               const UA_Variant* inputs, size_t n_outputs, UA_Variant* outputs);
  void name_namespace(const Identity* identity);
  std::string peer_address() const;
  void renew();
  void take_identity(const std::shared_ptr<const Identity>& renewed);
  void take_calls();
  void turn_over();
  void tell_changes(Variable& of);
  void begin(const ClientCall& call);
  void answer(void* context, uint64_t number, const UA_CallMethodResult& result);
  void settled(uint64_t write, const Status& status);
  void settle(uint64_t write, const Status& status);
  void check_idle();
  void close() noexcept;

  const Host& host_;
  ServerSettings settings_;  // namespace 1 is the identity's, from start() on
  const UA_Logger logger_;
  std::deque<std::variant<Change, ClientCall>> wanted_;  // by clients, in their order
  AddressSpace nodes_;
  Calls calls_;
  LocalStreams streams_;
  EventLoop loop_;
  Listener listener_;
  std::optional<Security> security_;  // until the server is closed
  Access access_;
  const ServerEvents events_;
  std::shared_ptr<const Identity> identity_;  // that the server shows; null: none
  std::string renewal_problem_;               // the last that was told; empty: none
  UniqueHandle<UA_Server, UA_Server_delete> server_;
  UA_UInt64 answers_timer_ = 0;
  // The library may give the name of a call that its client has cancelled to another one.
  std::map<void*, uint64_t> contexts_;  // and the number of the call that has the name now
  uint64_t last_call_ = 0;
  OwnedMessage inputs_;  // of the call that the library is looking at
  bool has_inputs_ = false;
  std::atomic<uint64_t> next_operation_{1};
  Pending<uint64_t> writes_;  // our own, which wait for watchers
  uint64_t last_write_ = 0;
  size_t unsettled_ = 0;  // those whose callback is still to come
  size_t hubs_left_ = 0;
  std::function<void()> drained_;
  std::function<void()> stopped_;
};

}  // namespace backplane::opcua
