// SPDX-License-Identifier: Apache-2.0
// open62541's event loop on the kernel's: its timers, its delayed callbacks. Sockets are tcp.hpp's.
//
// Design notes.
// - The library asks for an event loop by a table of functions, so that it needs neither a thread
//   nor to be polled: nothing runs but what is due.
// - It is used on the loop's thread alone, so it has no lock.
// - `run`, by which the library's synchronous calls wait, does not wait: it runs what was delayed,
//   which is how the library ends its closing, and fails. The library makes one such call by itself
//   (a server that refuses its last publish request), and would go round and round in it.
#pragma once

#include "native.hpp"
#include <backplane/sdk/loop.hpp>

#include <map>
#include <open62541/plugin/eventloop.h>

namespace backplane::opcua {

class EventLoop : private UA_EventLoop {
 public:
  /// `host` and `logger` outlive it.
  EventLoop(const Host& host, const UA_Logger* logger);
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  UA_EventLoop* native() noexcept { return this; }
  /// What was delayed, now.
  void run_delayed() noexcept;

 private:
  struct Timed {
    UA_Callback callback;
    void* application;
    void* data;
    int64_t next_ns;
    int64_t interval_ns;  // 0: once
  };

  static EventLoop& self(UA_EventLoop* loop) noexcept { return *static_cast<EventLoop*>(loop); }
  void set_tables() noexcept;
  UA_StatusCode add(const Timed& timed, UA_UInt64* id) noexcept;
  void run_due();
  void arm() noexcept;

  std::map<UA_UInt64, Timed> timers_;
  UA_UInt64 last_id_ = 0;
  UA_DelayedCallback* delayed_ = nullptr;  // linked, the oldest first
  Timer timer_;
  Wakeup wakeup_;
};

}  // namespace backplane::opcua
