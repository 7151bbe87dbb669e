// SPDX-License-Identifier: Apache-2.0
// One try to be connected: a client of open62541 from its first byte to its end. Loop thread only.
//
// Design notes.
// - It is up when the server has answered: a session is activated and its namespaces were read.
// - It ends once: the channel fails, the session is lost, the server does not answer. What was
// asked
//   is answered then, by the library. The next try is another one.
// - It is not destroyed inside a call of the library: who is told that it is down does that later.
// - A session that the library would make by itself is not wanted: nobody would know of it.
#pragma once

#include "settings.hpp"
#include "tcp.hpp"

#include <open62541/client.h>

namespace backplane::opcua {

class Session {
 public:
  struct Events {
    std::function<void()> up;
    std::function<void(const Status&)> down;                     // once
    std::function<void(uint64_t, const UA_DataValue&)> changed;  // what notify() is told
  };
  /// `host` outlives it; `addresses` are those of the server, numeric. Throws Error.
  Session(const Host& host, const Settings& settings, std::vector<std::string> addresses,
          Events events);
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

  /// A monitored item has a value. Throws nothing.
  void notify(uint64_t watch, const UA_DataValue& value) {
    if (is_up()) {
      boundary([&] { events_.changed(watch, value); },
               [this](const Status& status) { end(status); });
    }
  }

  bool is_up() const noexcept { return phase_ == Phase::kUp; }
  UA_Client* client() noexcept { return client_; }
  const std::vector<std::string>& namespaces() const noexcept { return namespaces_; }
  /// What the server takes in one request.
  size_t most_reads() const noexcept { return most_reads_; }
  size_t most_items() const noexcept { return most_items_; }
  /// It has refused so many.
  void halve_most_items() noexcept { most_items_ = std::max<size_t>(most_items_ / 2, 1); }

  /// The answer is called once, perhaps inside this; `Response` has the service's status also when
  /// it was not sent.
  template <class Response>
  using Answer = std::function<void(const Response&)>;
  template <class Response, int ResponseType, class Request>
  void ask(const Request& request, int request_type, Answer<Response> answer) {
    auto* kept = new Answer<Response>(std::move(answer));
    const auto callback = [](UA_Client*, void* user, UA_UInt32, void* response) {
      const std::unique_ptr<Answer<Response>> owned(static_cast<Answer<Response>*>(user));
      boundary([&] { (*owned)(*static_cast<const Response*>(response)); },
               [](const Status&) noexcept {});
    };
    const UA_StatusCode status =
        is_open() ? __UA_Client_AsyncService(client_, &request, &UA_TYPES[request_type], callback,
                                             &UA_TYPES[ResponseType], kept, nullptr)
                  : static_cast<UA_StatusCode>(UA_STATUSCODE_BADNOTCONNECTED);
    if (status != UA_STATUSCODE_GOOD) {
      Response response;
      UA_init(&response, &UA_TYPES[ResponseType]);
      response.responseHeader.serviceResult = status;
      callback(client_, kept, 0, &response);
    }
  }
  /// The channel can send. Requests that the library prepares itself are not given to it without.
  bool is_open() const noexcept;

 private:
  enum class Phase { kConnecting, kReading, kUp, kClosing, kDown };

  static void on_state(UA_Client* client, UA_SecureChannelState channel, UA_SessionState session,
                       UA_StatusCode status);
  void state_changed(UA_SecureChannelState channel, UA_SessionState session, UA_StatusCode status);
  Status reason(UA_StatusCode status) const;
  void read_server();
  [[gnu::format(printf, 4, 0)]] static void log(void* context, UA_LogLevel level,
                                                UA_LogCategory category, const char* text,
                                                va_list arguments);

  const Host& host_;
  const UA_UInt32 keepalive_ms_;
  Events events_;
  Phase phase_ = Phase::kConnecting;
  std::function<void()> closed_;
  std::vector<std::string> namespaces_;
  size_t most_reads_ = 1000;
  size_t most_items_ = 500;
  UA_Logger logger_;
  EventLoop loop_;
  Tcp tcp_;
  UA_Client* client_ = nullptr;
};

}  // namespace backplane::opcua
