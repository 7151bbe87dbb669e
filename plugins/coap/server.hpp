// SPDX-License-Identifier: Apache-2.0
// The server of an instance: its UDP endpoint, its resources, and what happens to a request. Loop
// thread only, but for the table of resources, which open() reads on any thread.
//
// Design notes.
// - A GET of a declared resource is answered on the spot and remembers nothing. Everything else is
//   taken once: copies of a datagram get the first one's answer.
// - A PUT goes to the watchers before its answer. When all who acknowledge have done so inside
//   publish(), the answer is piggybacked; else the request is held.
// - The library calls the same handler for a GET and for each notification. An error during a
//   notification would make it free the subscription that it works on: so a known observation is
//   never answered with an error.
// - libcoap's own list of links is cut to one datagram; ours is a resource like any other.
#pragma once

#include "dtls_server.hpp"
#include "held.hpp"
#include "inbox.hpp"
#include "observers.hpp"
#include "resource.hpp"
#include "served.hpp"

#include <map>

namespace backplane::coap {

class Server {
 public:
  /// `listen` and `resources` of the configuration. Throws Error for what cannot be. [control]
  Server(Stack& stack, const Options& options, const Config& config);
  ~Server();

  /// Binds the port and registers the resources. Throws Error. Before Stack::start.
  void start();
  /// Takes no more requests; `drained` is called when those that it has are answered.
  void drain(std::function<void()> drained);
  /// Calls `drained` now, if it is still to come.
  void end_drain();
  /// Answers what is held with 5.03, ends watches and served paths; `stopped` is called when no
  /// operation and no callback is left. Never from inside the library.
  void stop(std::function<void()> stopped);

  /// The resource with this canonical path, made when `create`; or none. [any]
  std::shared_ptr<Resource> resource(const Target& target, bool create);
  /// One's own write: the new value for readers, watchers and observers.
  Status write(Resource& resource, MessageView message);
  Served& served() noexcept { return served_; }
  const Host& host() const noexcept { return host_; }
  /// A number for an operation, by which it is cancelled. [any]
  uint64_t new_operation() noexcept { return next_operation_.fetch_add(1); }
  std::vector<Link> links();
  const std::string& address() const noexcept { return shown_; }
  bool is_secure() const noexcept { return dtls_ != nullptr; }
  /// Of a server with coaps:.
  DtlsServer& dtls() noexcept { return *dtls_; }

  // From libcoap's callbacks, by plugin-wide trampolines in server.cpp.
  void on_declared(Resource& resource, coap_session_t* session, const coap_pdu_t* request,
                   coap_pdu_t* response);
  void on_other(coap_session_t* session, const coap_pdu_t* request, coap_pdu_t* response);
  void on_links(const coap_pdu_t* request, std::string_view query, coap_pdu_t* response);
  void on_event(coap_session_t* session, coap_event_t event);

 private:
  std::unique_ptr<DtlsServer> make_dtls(const Config& config) const;
  void on_session(coap_session_t* session, bool is_new);
  Peer& peer_of(coap_session_t* session);
  std::shared_ptr<Resource> add(ResourceOptions options);
  void register_resource(Resource& resource);
  void get(Resource& resource, coap_session_t* session, const coap_pdu_t* request,
           coap_pdu_t* response);
  void put(Resource& resource, coap_session_t* session, Taken& taken, const coap_pdu_t* request,
           coap_pdu_t* response);
  void serve(const std::string& path, coap_session_t* session, Taken& taken,
             const coap_pdu_t* request, coap_pdu_t* response);
  Taken* begin(coap_session_t* session, const coap_pdu_t* request, coap_pdu_t* response);
  /// False: the response says why the body is not there.
  bool receive(coap_session_t* session, Taken& taken, const coap_pdu_t* request,
               coap_pdu_t* response, Incoming& out);
  void hold(uint64_t id, coap_session_t* session, const Taken& taken, const coap_pdu_t* request,
            const Wanted& wanted, std::string body_key);
  void refuse(coap_pdu_t* response, coap_pdu_code_t code, std::string_view why) noexcept;
  void keep_blocks(const std::string& key, const std::shared_ptr<const Answer>& answer,
                   const Wanted& wanted);

  void settled(uint64_t id, const Status& status);
  void settle_on_loop(uint64_t id, const Status& status);
  void answer_held(uint64_t id, Answer answer);
  void check_idle();

  Stack& stack_;
  const Host& host_;
  const Options& options_;
  Authority authority_;
  std::string shown_;
  const std::unique_ptr<DtlsServer> dtls_;  // null: plain UDP

  Guarded<std::map<std::string, std::shared_ptr<Resource>>> resources_;
  std::unordered_map<coap_session_t*, std::unique_ptr<Peer>> peers_;
  Observers observers_;
  Inbox inbox_;
  Recent<std::shared_ptr<const Answer>> answers_;
  HeldRequests held_;
  Served served_;

  std::atomic<uint64_t> next_operation_{1};
  uint64_t next_id_ = 1;
  size_t unsettled_ = 0;     // publications whose callback is still to come
  uint64_t publishing_ = 0;  // the id of the PUT inside publish(); 0: none
  std::optional<Status> settled_inside_;
  bool draining_ = false;
  size_t hubs_left_ = 0;
  std::function<void()> drained_;
  std::function<void()> stopped_;

  const Counter requests_;
  const Counter copies_;
  const Counter refused_;
  const Counter evicted_;
  const Gauge peers_gauge_;
  const Gauge observers_gauge_;
};

}  // namespace backplane::coap
