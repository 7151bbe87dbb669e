// SPDX-License-Identifier: Apache-2.0
#include "event_loop.hpp"

namespace backplane::opcua {
namespace {

constexpr int64_t kNsPerTick = 100;  // of a UA_DateTime

void set_state(UA_EventLoop* loop, UA_EventLoopState state) noexcept {
  // The member is const for users of a loop; this is the loop.
  const_cast<volatile UA_EventLoopState&>(loop->state) = state;
}

// The library's monotonic clock is another one than the kernel's (CLOCK_MONOTONIC_RAW): the two
// drift apart.
int64_t from_date(UA_DateTime date) noexcept {
  return monotonic_ns() + (date - UA_DateTime_nowMonotonic()) * kNsPerTick;
}
UA_DateTime to_date(int64_t ns) noexcept {
  return UA_DateTime_nowMonotonic() + (ns - monotonic_ns()) / kNsPerTick;
}

}  // namespace

EventLoop::EventLoop(const Host& host, const UA_Logger* its_logger)
    : UA_EventLoop{},
      timer_(host, [this] { run_due(); }),
      wakeup_(host, [this] { run_delayed(); }) {
  logger = its_logger;
  set_tables();
}

void EventLoop::set_tables() noexcept {
  start = [](UA_EventLoop* loop) -> UA_StatusCode {
    for (UA_EventSource* each = loop->eventSources; each != nullptr; each = each->next) {
      if (const UA_StatusCode status = each->start(each); status != UA_STATUSCODE_GOOD) {
        return status;
      }
    }
    set_state(loop, UA_EVENTLOOPSTATE_STARTED);
    return UA_STATUSCODE_GOOD;
  };
  stop = [](UA_EventLoop* loop) { set_state(loop, UA_EVENTLOOPSTATE_STOPPED); };
  run = [](UA_EventLoop* loop, UA_UInt32) -> UA_StatusCode {
    self(loop).run_delayed();
    return UA_STATUSCODE_BADINTERNALERROR;
  };
  free = [](UA_EventLoop* loop) -> UA_StatusCode {
    self(loop).run_delayed();
    self(loop).timer_.cancel();
    return UA_STATUSCODE_GOOD;
  };
  dateTime_now = [](UA_EventLoop*) { return UA_DateTime_now(); };
  dateTime_nowMonotonic = [](UA_EventLoop*) { return UA_DateTime_nowMonotonic(); };
  dateTime_localTimeUtcOffset = [](UA_EventLoop*) { return UA_DateTime_localTimeUtcOffset(); };
  nextCyclicTime = [](UA_EventLoop* loop) -> UA_DateTime {
    const auto& due = self(loop).due_;
    return due.empty() ? UA_INT64_MAX : to_date(due.begin()->first);
  };
  addCyclicCallback = [](UA_EventLoop* loop, UA_Callback callback, void* application, void* data,
                         UA_Double interval, UA_DateTime*, UA_TimerPolicy, UA_UInt64* id) {
    const int64_t ns = interval_of(interval);
    return self(loop).add({callback, application, data, monotonic_ns() + ns, ns}, id);
  };
  modifyCyclicCallback = [](UA_EventLoop* loop, UA_UInt64 id, UA_Double interval, UA_DateTime*,
                            UA_TimerPolicy) -> UA_StatusCode {
    const int64_t ns = interval_of(interval);
    return self(loop).repeat(id, monotonic_ns() + ns, ns)
               ? UA_STATUSCODE_GOOD
               : static_cast<UA_StatusCode>(UA_STATUSCODE_BADNOTFOUND);
  };
  removeCyclicCallback = [](UA_EventLoop* loop, UA_UInt64 id) { self(loop).remove(id); };
  addTimedCallback = [](UA_EventLoop* loop, UA_Callback callback, void* application, void* data,
                        UA_DateTime date, UA_UInt64* id) {
    return self(loop).add({callback, application, data, from_date(date), 0}, id);
  };
  addDelayedCallback = [](UA_EventLoop* loop, UA_DelayedCallback* delayed) {
    UA_DelayedCallback** at = &self(loop).delayed_;
    while (*at != nullptr) {
      at = &(*at)->next;
    }
    delayed->next = nullptr;
    *at = delayed;
    static_cast<void>(self(loop).wakeup_.post());
  };
  removeDelayedCallback = [](UA_EventLoop* loop, UA_DelayedCallback* delayed) {
    for (UA_DelayedCallback** at = &self(loop).delayed_; *at != nullptr; at = &(*at)->next) {
      if (*at == delayed) {
        *at = delayed->next;
        return;
      }
    }
  };
  registerEventSource = [](UA_EventLoop* loop, UA_EventSource* source) -> UA_StatusCode {
    source->eventLoop = loop;
    source->next = loop->eventSources;
    loop->eventSources = source;
    return UA_STATUSCODE_GOOD;
  };
  deregisterEventSource = [](UA_EventLoop* loop, UA_EventSource* source) -> UA_StatusCode {
    for (UA_EventSource** at = &loop->eventSources; *at != nullptr; at = &(*at)->next) {
      if (*at == source) {
        *at = source->next;
        return UA_STATUSCODE_GOOD;
      }
    }
    return UA_STATUSCODE_BADNOTFOUND;
  };
}

UA_StatusCode EventLoop::add(const Timed& timed, UA_UInt64* id) noexcept {
  try {
    due_.emplace(timed.next_ns, last_id_ + 1);
    timers_.emplace(last_id_ + 1, timed);
  } catch (const std::bad_alloc&) {
    due_.erase({timed.next_ns, last_id_ + 1});
    return UA_STATUSCODE_BADOUTOFMEMORY;
  }
  ++last_id_;
  if (id != nullptr) {
    *id = last_id_;
  }
  arm();
  return UA_STATUSCODE_GOOD;
}

/// False: there is no such timer.
bool EventLoop::repeat(UA_UInt64 id, int64_t next_ns, int64_t interval_ns) noexcept {
  const auto at = timers_.find(id);
  if (at == timers_.end()) {
    return false;
  }
  auto entry = due_.extract({at->second.next_ns, id});  // its memory is used again
  entry.value().first = next_ns;
  due_.insert(std::move(entry));
  at->second.next_ns = next_ns;
  at->second.interval_ns = interval_ns;
  arm();
  return true;
}

void EventLoop::remove(UA_UInt64 id) noexcept {
  if (const auto at = timers_.find(id); at != timers_.end()) {
    due_.erase({at->second.next_ns, id});
    timers_.erase(at);
  }
}

/// One that is set for a time that nothing is due at any more does no harm.
void EventLoop::arm() noexcept {
  if (!due_.empty() && due_.begin()->first < armed_ns_ && timer_.at(due_.begin()->first).is_ok()) {
    armed_ns_ = due_.begin()->first;
  }
}

void EventLoop::run_due() {
  armed_ns_ = INT64_MAX;
  const int64_t now = monotonic_ns();
  // Each comes once: what its callback adds, or it itself, is due later than now. It keeps its
  // times, however late it comes, but makes up for none that it has missed (OPC 10000-4, 5.12.1.2).
  while (!due_.empty() && due_.begin()->first <= now) {
    const UA_UInt64 id = due_.begin()->second;
    const Timed timed = timers_.at(id);
    if (timed.interval_ns == 0) {
      remove(id);
    } else {
      const int64_t next = timed.next_ns + timed.interval_ns;
      repeat(id, next > now ? next : now + timed.interval_ns, timed.interval_ns);
    }
    timed.callback(timed.application, timed.data);
  }
  arm();
}

void EventLoop::run_timer(UA_UInt64 id) {
  if (const auto at = timers_.find(id); at != timers_.end()) {
    const Timed timed = at->second;
    timed.callback(timed.application, timed.data);
  }
}

void EventLoop::run_delayed() noexcept {
  UA_DelayedCallback* last = delayed_;
  while (last != nullptr && last->next != nullptr) {
    last = last->next;
  }
  // What is delayed from now on is for the next time.
  for (UA_DelayedCallback* each = delayed_; each != nullptr; each = delayed_) {
    delayed_ = each->next;
    const bool was_last = each == last;
    each->callback(each->application, each->context);
    if (was_last) {
      break;
    }
  }
}

}  // namespace backplane::opcua
