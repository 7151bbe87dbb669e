// SPDX-License-Identifier: Apache-2.0
#include "event_loop.hpp"

#include <vector>

namespace backplane::opcua {
namespace {

constexpr int64_t kNsPerTick = 100;  // of a UA_DateTime

void set_state(UA_EventLoop* loop, UA_EventLoopState state) noexcept {
  // The member is const for users of a loop; this is the loop.
  const_cast<volatile UA_EventLoopState&>(loop->state) = state;
}

int64_t interval_of(UA_Double milliseconds) noexcept {
  return std::max<int64_t>(static_cast<int64_t>(milliseconds * 1e6), 1'000'000);
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
  free = [](UA_EventLoop*) -> UA_StatusCode { return UA_STATUSCODE_GOOD; };
  dateTime_now = [](UA_EventLoop*) { return UA_DateTime_now(); };
  dateTime_nowMonotonic = [](UA_EventLoop*) { return UA_DateTime_nowMonotonic(); };
  dateTime_localTimeUtcOffset = [](UA_EventLoop*) { return UA_DateTime_localTimeUtcOffset(); };
  nextCyclicTime = [](UA_EventLoop* loop) {
    UA_DateTime next = UA_INT64_MAX;
    for (const auto& [id, timed] : self(loop).timers_) {
      next = std::min<UA_DateTime>(next, timed.next_ns / kNsPerTick);
    }
    return next;
  };
  addCyclicCallback = [](UA_EventLoop* loop, UA_Callback callback, void* application, void* data,
                         UA_Double interval, UA_DateTime*, UA_TimerPolicy, UA_UInt64* id) {
    const int64_t ns = interval_of(interval);
    return self(loop).add({callback, application, data, monotonic_ns() + ns, ns}, id);
  };
  modifyCyclicCallback = [](UA_EventLoop* loop, UA_UInt64 id, UA_Double interval, UA_DateTime*,
                            UA_TimerPolicy) -> UA_StatusCode {
    const auto at = self(loop).timers_.find(id);
    if (at == self(loop).timers_.end()) {
      return UA_STATUSCODE_BADNOTFOUND;
    }
    at->second.interval_ns = interval_of(interval);
    at->second.next_ns = monotonic_ns() + at->second.interval_ns;
    self(loop).arm();
    return UA_STATUSCODE_GOOD;
  };
  removeCyclicCallback = [](UA_EventLoop* loop, UA_UInt64 id) { self(loop).timers_.erase(id); };
  addTimedCallback = [](UA_EventLoop* loop, UA_Callback callback, void* application, void* data,
                        UA_DateTime date, UA_UInt64* id) {
    return self(loop).add({callback, application, data, date * kNsPerTick, 0}, id);
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
    timers_.emplace(++last_id_, timed);
  } catch (const std::bad_alloc&) {
    return UA_STATUSCODE_BADOUTOFMEMORY;
  }
  if (id != nullptr) {
    *id = last_id_;
  }
  arm();
  return UA_STATUSCODE_GOOD;
}

void EventLoop::arm() noexcept {
  int64_t next = INT64_MAX;
  for (const auto& [id, timed] : timers_) {
    next = std::min(next, timed.next_ns);
  }
  if (next != INT64_MAX) {
    static_cast<void>(timer_.at(next));
  }
}

void EventLoop::run_due() {
  const int64_t now = monotonic_ns();
  std::vector<UA_UInt64> due;
  for (const auto& [id, timed] : timers_) {
    if (timed.next_ns <= now) {
      due.push_back(id);
    }
  }
  for (const UA_UInt64 id : due) {
    const auto at = timers_.find(id);  // a callback may have removed it
    if (at == timers_.end()) {
      continue;
    }
    const Timed timed = at->second;
    if (timed.interval_ns == 0) {
      timers_.erase(at);
    } else {
      at->second.next_ns = now + timed.interval_ns;
    }
    timed.callback(timed.application, timed.data);
  }
  arm();
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
