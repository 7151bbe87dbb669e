// SPDX-License-Identifier: Apache-2.0
// open62541's event loop on the kernel's: its timers, its delayed callbacks. Sockets are tcp.hpp's.
//
// Design notes.
// - The library asks for an event loop by a table of functions, so that it needs neither a thread
//   nor to be polled: nothing runs but what is due.
// - It is used on the loop's thread alone, so it has no lock.
// - `run`, by which the library's synchronous calls wait, does not wait: it runs what was delayed,
//   which is how the library ends its closing, and fails. The library makes one such call by itself
//   (a server that refuses its last publish request), and would go round and round in it. `free`,
//   the last that a server does with a loop that it takes for its own, does as much.
// - A server has a timer for each item that it samples: ten thousand of them are nothing unusual.
#pragma once

#include "native.hpp"
#include <backplane/sdk/loop.hpp>

#include <open62541/plugin/eventloop.h>
#include <set>
#include <unordered_map>

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
  /// The number of the timer that was added last; 0: none was.
  UA_UInt64 last_timer() const noexcept { return last_id_; }
  /// A repeated timer's callback, now, beside its times.
  void run_timer(UA_UInt64 id);

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
  bool repeat(UA_UInt64 id, int64_t next_ns, int64_t interval_ns) noexcept;
  void remove(UA_UInt64 id) noexcept;
  void run_due();
  void arm() noexcept;

  std::unordered_map<UA_UInt64, Timed> timers_;
  std::set<std::pair<int64_t, UA_UInt64>> due_;  // when, and which
  int64_t armed_ns_ = INT64_MAX;                 // for when the timer is set
  UA_UInt64 last_id_ = 0;
  UA_DelayedCallback* delayed_ = nullptr;  // linked, the oldest first
  Timer timer_;
  Wakeup wakeup_;
};

}  // namespace backplane::opcua
