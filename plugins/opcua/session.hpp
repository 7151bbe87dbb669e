// SPDX-License-Identifier: Apache-2.0
// One try to be connected: what the server offers, the choice, and a client of open62541 from its
// first byte to its end. Loop thread only.
//
// Design notes.
// - The server's certificate is checked before anything is sent that it shall not know.
// - What a server offers is asked for without security. On a secured channel it is asked again, and
//   must be the same: else somebody in between has taken the better endpoints away.
// - It is up when the server has answered: a session is activated and its namespaces were read.
// - It ends once: the channel fails, the session is lost, the server does not answer. What was
//   asked is answered then, by the library. The next try is another one.
// - It is not destroyed inside a call of the library: who is told that it is down does that later.
// - A request that takes too long fails, and its answer is still taken when it comes: the library
//   would close the connection of everybody for it.
// - Values that the server tells together are given together: taken out of the library's response,
//   a few at a time, so that they are still in the processor's cache. None waits for longer than
//   what came with it is looked at, and what was asked is answered behind them.
// - A session that the library would make by itself is not wanted: nobody would know of it.
#pragma once

#include "discovery.hpp"
#include "security.hpp"

#include <array>
#include <cassert>
#include <deque>
#include <open62541/client.h>
#include <span>

namespace backplane::opcua {

struct Watch;

/// A value that the server has told.
struct Change {
  Watch* watch;
  size_t item;         // of the watch
  UA_DataValue value;  // borrowed by who is told
};

class Session {
 public:
  struct Events {
    std::function<void()> up;
    std::function<void(const Status&)> down;               // once
    std::function<void(std::span<const Change>)> changed;  // what notify() was told
    std::function<void()> received;  // behind all that what has come was answered with
  };
  /// `host` outlives it; `addresses` are those of the server, numeric. Throws Error.
  Session(const Host& host, const Settings& settings, std::vector<std::string> addresses,
          Security& security, Events events);
  /// Closes the connection; what was asked is answered with an error.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Perhaps calls `down` before it returns.
  void connect();
  /// Takes leave of the server, then `done`, which may come inside this call; nothing else is told
  /// any more.
  void close(std::function<void()> done);

  /// It is of no use any more.
  void end(const Status& status);
  /// The same, for a status with which a request was answered, or not.
  void lost(UA_StatusCode status) { end(reason(status)); }

  // ---- for callbacks of the library ----
  static constexpr size_t kMostChanges = 16;  // that are given together
  /// A monitored item has a value, which is taken.
  void notify(Watch& watch, size_t item, UA_DataValue& value) noexcept {
    assert(!is_telling_);
    changes_[n_changes_++] = {&watch, item, value};
    UA_Variant_init(&value.value);  // nothing else has members of its own
    if (n_changes_ == kMostChanges) {
      tell();
    }
  }
  /// The same of a value that nobody may take.
  void notify_now(const Change& change) noexcept;
  /// Gives what it was notified of.
  void tell() noexcept;

  bool is_up() const noexcept { return phase_ == Phase::kUp; }
  /// Of one that is or was up.
  static Session& of(UA_Client* client) noexcept {
    return *static_cast<Session*>(Connection::owner_of(client));
  }
  UA_Client* client() noexcept { return connection_->client(); }
  /// "sign_and_encrypt Basic256Sha256". Of one that is up.
  std::string security_text() const;
  /// A number keeps its meaning as long as the session lasts (part 3, 5.2.2); more may come.
  const std::vector<std::string>& namespaces() const noexcept { return namespaces_; }
  void read_namespaces(std::function<void()> done);
  /// What the server takes in one request.
  size_t most_reads() const noexcept { return most_reads_; }
  size_t most_items() const noexcept { return most_items_; }
  /// It has refused `n`: requests of that size may be under way still.
  void refused_items(size_t n) noexcept { fit(most_items_, n); }
  size_t most_writes() const noexcept { return most_writes_; }
  size_t most_paths() const noexcept { return most_paths_; }
  void refused_paths(size_t n) noexcept { fit(most_paths_, n); }
  /// So that those that have something to tell do not wait for each other's answers.
  void has_subscriptions(size_t n) noexcept;

  /// `answer(Response&)` is called once, perhaps inside this; the response has the service's status
  /// also when it was not sent, or not answered within request_timeout. Its members may be taken
  /// out.
  template <class Response, int ResponseType, class Request, class Answer>
  void ask(Request& request, int request_type, Answer answer) {
    // The library would close the connection when an answer came after its own time-out.
    request.requestHeader.timeoutHint = kNoTimeout;
    send(&request, UA_TYPES[request_type], UA_TYPES[ResponseType],
         [answer = std::move(answer)](void* response, UA_StatusCode failure) {
           if (response != nullptr) {
             return answer(*static_cast<Response*>(response));
           }
           Response failed;
           UA_init(&failed, &UA_TYPES[ResponseType]);
           failed.responseHeader.serviceResult = failure;
           answer(failed);
         });
  }
  /// One attribute of one node. `answer`, once: the service's status, and what the node's was, with
  /// its value; empty when the status is bad.
  using AttributeRead = std::function<void(UA_StatusCode service, const UA_DataValue& value)>;
  void read_attribute(const UA_NodeId& node, UA_UInt32 attribute, AttributeRead answer);
  /// For requests whose answer nobody waits for: the greatest number that nobody takes for
  /// negative.
  static constexpr UA_UInt32 kNoTimeout = INT32_MAX;
  /// What has come is looked at; `received` is still to come.
  bool is_receiving() const noexcept { return connection_ && connection_->tcp().is_reading(); }
  /// The channel can send. Requests that the library prepares itself are not given to it without.
  bool is_open() const noexcept { return connection_ && connection_->is_open(); }

 private:
  enum class Phase { kDiscovering, kConnecting, kReading, kUp, kClosing, kDown };

  /// With a response, or with what it has failed with.
  using Answered = std::function<void(void* response, UA_StatusCode failure)>;
  struct Asked {
    int64_t due;
    Answered answered;
  };

  /// To half of what was refused.
  static void fit(size_t& most, size_t n) noexcept {
    most = std::min(most, std::max<size_t>(n / 2, 1));
  }
  void send(const void* request, const UA_DataType& request_type, const UA_DataType& response_type,
            Answered answered);
  void take(uint64_t number, void* response);
  std::optional<Asked> take_asked(uint64_t number) noexcept;
  void answer(const Answered& answered, void* response, UA_StatusCode status) noexcept;
  void give_up_overdue();
  EndpointWanted wanted() const;
  void choose_endpoint();
  void open(const Identity* identity);
  void state_changed(UA_SecureChannelState channel, UA_SessionState session, UA_StatusCode status);
  Status reason(UA_StatusCode status) const;
  void read_server();
  void ask_endpoints_again();
  void be_up();
  void set_namespaces(const UA_Variant& told);

  const Host& host_;
  const Settings& settings_;
  const std::vector<std::string> addresses_;
  Security& security_;
  Events events_;
  Phase phase_ = Phase::kDiscovering;
  size_t n_changes_ = 0;
  bool is_telling_ = false;
  std::array<Change, kMostChanges> changes_;  // owned
  std::function<void()> closed_;
  std::vector<std::string> namespaces_;
  size_t most_reads_ = 1000;
  size_t most_items_ = 500;
  size_t most_paths_ = 500;
  uint16_t publish_requests_;
  const std::chrono::nanoseconds request_timeout_;
  std::deque<std::optional<Asked>> asked_;  // by their numbers; nothing: it was answered
  uint64_t first_asked_ = 1;                // the number of the first, which was not
  size_t late_ = 0;                         // given up, and not answered yet
  bool is_timing_ = false;
  bool has_been_open_ = false;   // the channel
  std::string our_certificate_;  // where it is from
  Timer overdue_;
  size_t most_writes_ = 1000;
  User user_;
  Choice choice_;
  std::optional<Result<Endpoints>> found_;
  const std::shared_ptr<Session*> self_ = std::make_shared<Session*>(this);  // for who may be late
  Wakeup has_found_;
  // The last members: being destroyed they answer what was asked.
  std::optional<Discovery> discovery_;
  std::optional<Connection> connection_;
};

}  // namespace backplane::opcua
